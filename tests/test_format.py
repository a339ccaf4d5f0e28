"""Format 1, byte for byte: folders that were written once are read for ever, and damaged bytes raise nothing else."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from folders import attributes_of, tree, use_sidecars, value_at
from hypothesis import given, settings
from hypothesis import strategies as st

from diskdict import DiskDict, FormatError, Limits
from diskdict import attributes as attributes_module
from diskdict.attributes import Attributes, pack, unpack
from diskdict.index import Entry, Index
from diskdict.layout import Shards
from diskdict.lock import UNKNOWN, Page, decode_page, encode_page
from diskdict.manifest import Manifest
from diskdict.manifest import decode as decode_manifest
from diskdict.manifest import encode as encode_manifest
from diskdict.sidecar import decode as decode_sidecar
from diskdict.sidecar import encode as encode_sidecar
from diskdict.snapshots import Snapshot, decode_snapshot, encode_snapshot
from diskdict.store import NEVER

CREATED = 1_699_999_000.5
EXPIRES = 1_700_000_100.25

# ---- a folder that was written by hand

MANIFEST = b"""{
  "format": 1,
  "kind": "dict",
  "codec": "json",
  "shards": 256,
  "names": "escape-1",
  "limits": {}
}
"""

LOCK = (
    b'{"pid":4711,"host":"somewhere","since":"2023-11-14T22:13:20+00:00","clean":true,"suspect":false,'
    b'"ceiling":1048576,"expiring":true,"sidecars":true}'
).ljust(511) + b"\n"

LONG = "60/%%17b16d8ef494060fefa36a6a41567b8c32d213a17e02b7eeae86158cc4495461"

VALUES = {
    "86/hello": b'{"a":1}',
    "05/=i1": b"[1,2]",
    "e2/+b": b"\x89PNG",
    "9f/%2egit": b'{"$tuple":[1]}',
    "b5/side": b'"beside"',
    "89/stray": b"5",
    LONG: b'"long"',
}

OTHER_FILES = {
    "b5/.side.attr": b'{"format":1,"entries":['
    b'{"order":6,"created":1699999000.5,"expires":1700000100.25,"version":11,"length":99,"checksum":1},'
    b'{"order":6,"created":1699999000.5,"version":10,"length":8,"checksum":3758745099,"meta":"{\\"s\\":1}"}]}\n',
    LONG.replace("/", "/.") + ".key": b"k" * 300,
}

# format, flags (1: metadata, 2: spelling) | order | created | expires | version | length | CRC-32, all little-endian
ATTRIBUTES = {
    "86/hello": "0101 0700000000000000 00002046fb54d941 00001059fc54d941 0900000000000000 0700000000000000 afac1b56",
    "05/=i1": "0102 0300000000000000 00002046fb54d941 000000000000f07f 0300000000000000 0500000000000000 bf508b08",
    "e2/+b": "0100 0500000000000000 00002046fb54d941 000000000000f07f 0500000000000000 0400000000000000 a5beeb5b",
    "9f/%2egit": "0100 0400000000000000 00002046fb54d941 000000000000f07f 0c00000000000000 0e00000000000000 1eb8faf5",
    LONG: "0100 0200000000000000 00002046fb54d941 000000000000f07f 0200000000000000 0600000000000000 2922b479",
}

MORE_ATTRIBUTES = {
    "86/hello": {"user.diskdict.meta": b'{"m":1}'},
    "05/=i1": {"user.diskdict.key": b"=T"},
}


@pytest.fixture
def golden(folder: Path, needs_attributes: None) -> Path:
    """A folder of format 1 that was written without the package."""
    folder.mkdir()
    (folder / "diskdict.json").write_bytes(MANIFEST)
    (folder / "lock").write_bytes(LOCK)
    for path, content in {**VALUES, **OTHER_FILES}.items():
        (folder / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data" / path).write_bytes(content)
    for path, blob in ATTRIBUTES.items():
        for name, content in {"user.diskdict": bytes.fromhex(blob), **MORE_ATTRIBUTES.get(path, {})}.items():
            attributes_module.PACKAGE.set(os.fspath(folder / "data" / path), name, content)
    return folder


def test_golden_folder_is_read(golden: Path, clock) -> None:
    """Keys, values, order, expiry, metadata, numbers and times are what the bytes say."""
    with DiskDict(golden, clock=clock) as d:
        content = dict(d)
        info = d.info("hello")

        assert content == {
            "k" * 300: "long",
            True: [1, 2],
            ".git": (1,),
            "B": b"\x89PNG",
            "side": "beside",
            "hello": {"a": 1},
            "stray": 5,
        }
        assert list(content) == ["k" * 300, True, ".git", "B", "side", "hello", "stray"]
        assert [type(key) for key in content][1] is bool
        assert (info.created_at, info.expires_at, info.version, info.size) == (CREATED, EXPIRES, 9, 7)
        assert (info.checksum, info.metadata) == ("crc32:561bacaf", {"m": 1})
        assert (d.info("side").metadata, d.info("side").version, d.ttl("side")) == ({"s": 1}, 10, None)
        assert d.info(".git").version == 12
        clock.tick(101)
        assert "hello" not in d


def test_golden_folder_is_whole(golden: Path, clock) -> None:
    """Nothing is found in it but the file that has no attributes."""
    with DiskDict(golden, clock=clock) as d:
        report = d.verify()

    assert report.checked == 7
    assert [(problem.path, problem.problem) for problem in report.problems] == [("data/89/stray", "stripped")]


def test_golden_folder_goes_on(golden: Path, clock) -> None:
    """Numbers continue above the ceiling that was reserved, and keys keep their places."""
    with DiskDict(golden, clock=clock) as d:
        d["B"] = 1
        d["new"] = 1

        assert d.info("B").version == 1048577
        assert list(d)[:4] == ["k" * 300, True, ".git", "B"]


def test_golden_folder_is_not_changed_by_reading(golden: Path, clock) -> None:
    """A reader leaves every byte as it was, and the lock page too."""
    before = tree(golden)
    with DiskDict(golden, clock=clock, readonly=True) as d:
        dict(d)
        d.verify()

    assert tree(golden) == before


def test_golden_folder_left_unclean(golden: Path, clock) -> None:
    """A page that says so has every read checked."""
    (golden / "lock").write_bytes(LOCK.replace(b'"clean":true', b'"clean":false'))
    (golden / "data" / "e2" / "+b").write_bytes(b"\x89PNg")

    with DiskDict(golden, clock=clock) as d:
        assert [problem.problem for problem in d.verify().problems] == ["stripped", "torn"]


# ---- what is written


def test_written_manifest(folder: Path) -> None:
    """A new store says what it is in the bytes of format 1."""
    DiskDict(folder).close()

    assert (folder / "diskdict.json").read_bytes() == MANIFEST


def test_written_manifest_with_options(folder: Path) -> None:
    """Limits that are set, permission bits that were asked for, codec and shards are in it."""
    DiskDict(folder, codec="raw", shards=16, limits=Limits(1, 2, 3, True), perm=0o640).close()

    assert json.loads((folder / "diskdict.json").read_bytes()) == {
        "format": 1,
        "kind": "dict",
        "codec": "raw",
        "shards": 16,
        "names": "escape-1",
        "limits": {"key_chars": 1, "value_bytes": 2, "total_bytes": 3, "json_object_only": True},
        "mode": "0640",
    }


def test_written_files(folder: Path) -> None:
    """These names and no others are in a new store that was used."""
    with DiskDict(folder) as d:
        d["hello"] = 1
        len(d)

    assert list(tree(folder)) == ["data", "data/86", "data/86/hello", "diskdict.json", "index", "lock"]


def test_written_attributes(folder: Path, clock, needs_attributes: None) -> None:
    """The main attribute is 46 bytes that can be unpacked with a struct; the others are text."""
    with DiskDict(folder, clock=clock) as d:
        d["first"] = 1
        d.set(True, [1, 2], ttl=100.25, metadata={"m": 1})
        d[True] = [1, 2]
        d.set(True, [1, 2, 3], ttl=100.25, metadata={"m": 1})
        kept = attributes_of(value_at(folder, "=i1"))

    assert set(kept) == {"user.diskdict", "user.diskdict.meta", "user.diskdict.key"}
    assert struct.unpack("<BBQddQQI", kept["user.diskdict"]) == (
        1,
        3,
        2,
        1_700_000_000.0,
        EXPIRES,
        4,
        7,
        zlib.crc32(b"[1,2,3]"),
    )
    assert kept["user.diskdict.meta"] == b'{"m":1}'
    assert kept["user.diskdict.key"] == b"=T"
    assert len(kept["user.diskdict"]) == 46


def test_written_sidecar(folder: Path, clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one line of JSON, the newest entry first."""
    use_sidecars(monkeypatch)
    with DiskDict(folder, clock=clock) as d:
        d["side"] = 1
        d.set("side", "beside", ttl=100.25, metadata={"s": 1})

    assert (folder / "data" / "b5" / ".side.attr").read_bytes() == (
        b'{"format":1,"entries":['
        b'{"order":1,"created":1700000000.0,"expires":1700000100.25,"version":2,"length":8,"checksum":%d,'
        b'"meta":"{\\"s\\":1}"},'
        b'{"order":1,"created":1700000000.0,"version":1,"length":1,"checksum":%d}]}\n'
        % (zlib.crc32(b'"beside"'), zlib.crc32(b"1"))
    )


def test_written_lock_page(folder: Path) -> None:
    """It is 512 bytes, one line of JSON, at every moment; it names this process and says what it does."""
    with DiskDict(folder) as d:
        fresh = (folder / "lock").read_bytes()
        d["k"] = 1
        dirty = (folder / "lock").read_bytes()
        d.set("k", 1, ttl=5)
        expiring = (folder / "lock").read_bytes()
    closed = (folder / "lock").read_bytes()
    pages = [json.loads(page) for page in (fresh, dirty, expiring, closed)]

    assert {len(page) for page in (fresh, dirty, expiring, closed)} == {512}
    assert all(page.endswith(b" \n") for page in (fresh, dirty, expiring, closed))
    assert {page["pid"] for page in pages} == {os.getpid()}
    assert [page["clean"] for page in pages] == [True, False, False, True]
    assert [page["ceiling"] for page in pages] == [0, 1 << 20, 1 << 20, 1 << 20]
    assert [page["expiring"] for page in pages] == [False, False, True, True]
    assert list(pages[0]) == ["pid", "host", "since", "clean", "suspect", "ceiling", "expiring", "sidecars"]


def test_written_snapshot(folder: Path) -> None:
    """The index is a line with the checksum of what follows, so that damage shows."""
    with DiskDict(folder) as d:
        d["hello"] = {"a": 1}
        len(d)
    head, _, body = (folder / "index").read_bytes().partition(b"\n")

    assert head == b"diskdict index 1 %08x" % zlib.crc32(body)


def test_long_host_names_fit_the_page() -> None:
    """The page stays a sector whatever this machine is called."""
    page = Page(2**22, "é" * 500, "2023-11-14T22:13:20+00:00", ceiling=2**62 - 1)

    assert len(encode_page(page)) == 512
    assert decode_page(encode_page(page)) == page._replace(host="?" * 64)


# ---- formats of another time


@pytest.mark.parametrize(
    ("there", "instead", "match"),
    [
        (b'"format": 1', b'"format": 2', "format 2"),
        (b'"format": 1', b'"format": "1"', "format '1'"),
        (b"escape-1", b"escape-2", "escape-2"),
        (b'"shards": 256', b'"shards": 3', "shards"),
        (b'"shards": 256', b'"shards": 1e999', "cannot be understood"),
        (b'"limits": {}', b'"limits": {"key_char": 3}', "key_char"),
        (b'"kind": "dict",', b"", "kind"),
        (b'"codec": "json"', b'"codec": ["json"]', "codec"),
        (b"}\n", b"", "cannot be understood"),
        (MANIFEST, b"", "cannot be understood"),
        (MANIFEST, b"[1]", "cannot be understood"),
        (MANIFEST, b"\xff\xfe", "cannot be understood"),
    ],
)
def test_other_format_is_refused(golden: Path, there: bytes, instead: bytes, match: str) -> None:
    """A folder of a later version, or one whose description is damaged, is refused by name and stays as it is."""
    (golden / "diskdict.json").write_bytes(MANIFEST.replace(there, instead))
    before = tree(golden)
    for options in ({}, {"readonly": True}, {"create": False}):
        with pytest.raises(FormatError, match=match) as caught:
            DiskDict(golden, **options)
        assert str(golden) in str(caught.value)

    assert {name: seen for name, seen in tree(golden).items() if name != "lock"} == {
        name: seen for name, seen in before.items() if name != "lock"
    }


def test_attribute_of_another_format_counts_as_none(golden: Path, clock) -> None:
    """A value whose attributes nobody here understands is there, without them."""
    for path, blob in (("86/hello", b"\x02" + bytes(45)), ("e2/+b", b""), ("9f/%2egit", b"\x01" * 64)):
        attributes_module.PACKAGE.set(os.fspath(golden / "data" / path), "user.diskdict", blob)
    with DiskDict(golden, clock=clock) as d:
        assert (d["hello"], d["B"], d[".git"]) == ({"a": 1}, b"\x89PNG", (1,))
        assert d.ttl("hello") is None
        assert list(d)[:3] == ["k" * 300, True, "side"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", None])
def test_damaged_metadata_counts_as_none(golden: Path, clock, content: bytes | None) -> None:
    """A value whose metadata or spelling cannot be read is there, with all else that it had."""
    for path, name in (("86/hello", "user.diskdict.meta"), ("05/=i1", "user.diskdict.key")):
        if content is None:
            attributes_module.PACKAGE.remove(os.fspath(golden / "data" / path), name)
        else:
            attributes_module.PACKAGE.set(os.fspath(golden / "data" / path), name, content)
    with DiskDict(golden, clock=clock) as d:
        assert (d["hello"], d.info("hello").metadata, d.ttl("hello")) == ({"a": 1}, {}, 100.25)
        assert [type(key) for key in d if key == 1] == [int]


@pytest.mark.parametrize("content", [b"{oops", b"[1]", b"7"])
def test_metadata_that_is_none(golden: Path, clock, content: bytes) -> None:
    """Text in its place that is no JSON object is no metadata."""
    attributes_module.PACKAGE.set(os.fspath(golden / "data" / "86" / "hello"), "user.diskdict.meta", content)
    with DiskDict(golden, clock=clock) as d:
        assert d["hello"] == {"a": 1}
        assert d.info("hello").metadata == {}


@pytest.mark.parametrize("spelling", [b"=i2", b"text", b"=f1.5", b"=?", b"=(", b"\x00"])
def test_spelling_of_another_key(golden: Path, clock, spelling: bytes) -> None:
    """A spelling that is not that of its key is not believed: keys stay findable."""
    attributes_module.PACKAGE.set(os.fspath(golden / "data" / "05" / "=i1"), "user.diskdict.key", spelling)
    with DiskDict(golden, clock=clock) as d:
        keys = list(d)

        assert keys[1] == 1
        assert all(key in d for key in keys)
        assert dict(d.items())[1] == [1, 2]


def test_sidecar_of_another_format_counts_as_none(golden: Path, clock) -> None:
    """A sidecar whose entries nobody here understands is not there."""
    sidecar = golden / "data" / "b5" / ".side.attr"
    sidecar.write_bytes(sidecar.read_bytes().replace(b'"format":1', b'"format":2'))
    with DiskDict(golden, clock=clock) as d:
        assert d["side"] == "beside"
        assert d.info("side").metadata == {}


# ---- bytes from anywhere

NUMBERS = st.integers(-(2**70), 2**70) | st.floats() | st.integers(0, 9)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
MANY = settings(max_examples=300, deadline=None)

ATTRIBUTE = Attributes(7, CREATED, EXPIRES, 9, 3, 5)
FULL = ATTRIBUTE._replace(meta='{"m":1}', spelling="=T")
PAGE = Page(1, "host", "2023-11-14T22:13:20+00:00", ceiling=5)
INDEX = Index.of(
    [Entry("a", 1, 5, CREATED), Entry("b/\ud800", 2, 6, CREATED, EXPIRES), Entry("=i1", 3, 7, CREATED, NEVER, "=T")]
)
SNAPSHOT = encode_snapshot(INDEX, {"3f": (1, 2), "40": (3, 4)}, 5)

VALID = {
    "attribute": pack(FULL),
    "sidecar": encode_sidecar([FULL, ATTRIBUTE]),
    "page": encode_page(PAGE),
    "manifest": encode_manifest(Manifest("dict", "json", limits=Limits(1, 2), mode=0o600)),
    "snapshot": SNAPSHOT.partition(b"\n")[2],
}


@st.composite
def mutated(draw: st.DrawFn, name: str) -> bytes:
    """Valid bytes with a few places cut out, overwritten or filled in."""
    content = bytearray(VALID[name])
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        content[start : start + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    return bytes(content)


@st.composite
def odd_document(draw: st.DrawFn, content: bytes) -> bytes:
    """A valid JSON document in which one part or two, at any depth, are something else or are not there."""
    document = {"": json.loads(content)}
    for _ in range(draw(st.integers(1, 2))):
        holder, place = draw(st.sampled_from(list(_places(document))))
        if draw(st.integers(0, 7)) or holder is document:
            holder[place] = draw(NUMBERS | ANYTHING)
        else:
            del holder[place]
    return json.dumps(document[""]).encode()


def _places(part: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(part, (dict, list)):
        for place in list(part) if isinstance(part, dict) else range(len(part)):
            yield part, place
            yield from _places(part[place])


def bytes_of(name: str) -> st.SearchStrategy[bytes]:
    """Bytes that a decoder may meet: any, damaged, and for JSON well-formed documents that say something odd."""
    body = VALID[name]
    documents = (
        [] if name == "attribute" else [odd_document(body), ANYTHING.map(lambda part: json.dumps(part).encode())]
    )
    return st.one_of(st.binary(max_size=100), mutated(name), *documents)


def seal(body: bytes) -> bytes:
    """Return a snapshot whose checksum fits, whatever it says."""
    return b"diskdict index 1 %08x\n%s" % (zlib.crc32(body), body)


def snapshots() -> st.SearchStrategy[bytes]:
    """Bytes that may be met in the place of a snapshot, most of them with a checksum that fits."""
    line, _, rest = VALID["snapshot"].partition(b"\n")
    bodies = st.one_of(
        mutated("snapshot"),
        odd_document(line).map(lambda document: document + b"\n" + rest),
        ANYTHING.map(lambda part: json.dumps(part).encode() + b"\n" + rest),
    )
    return bodies.map(seal) | st.binary(max_size=100)


@MANY
@given(bytes_of("attribute") | st.binary(min_size=46, max_size=46).map(lambda blob: b"\x01" + blob[1:]))
def test_any_attribute(blob: bytes) -> None:
    """It has a meaning, that can be written again, or none."""
    found = unpack(blob)

    if found is not None:
        attributes, flags = found
        assert attributes.expires == attributes.expires
        assert 0 <= flags < 256
        assert unpack(pack(attributes)) == (attributes, 0)


@MANY
@given(bytes_of("sidecar"))
def test_any_sidecar(content: bytes) -> None:
    """Its entries are such as can be written; otherwise it has none."""
    for entry in decode_sidecar(content):
        assert unpack(pack(entry._replace(order=0))) is not None
        assert 0 <= entry.order < 2**63
        assert decode_sidecar(encode_sidecar([entry])) == [entry]


@MANY
@given(bytes_of("page"))
def test_any_lock_page(content: bytes) -> None:
    """It is a page that counts on from a number that there can be, or none."""
    page = decode_page(content)

    if page is not None:
        assert page.ceiling == UNKNOWN or 0 <= page.ceiling < 2**62
        assert str(page.pid) in page.holder()
        assert len(encode_page(page)) >= 512


@MANY
@given(bytes_of("manifest"))
def test_any_manifest(content: bytes) -> None:
    """It describes a store that can be opened, or is a FormatError."""
    manifest = None
    with suppress(FormatError):
        manifest = decode_manifest(content, "/the/folder")

    if manifest is not None:
        assert Shards(manifest.shards).count == manifest.shards
        assert decode_manifest(encode_manifest(manifest), "") == manifest
        assert manifest.mode is None or 0 <= manifest.mode <= 0o777


@MANY
@given(snapshots())
def test_any_snapshot(content: bytes) -> None:
    """With a checksum that fits or without: it is an index that can be used and kept again, or none."""
    snapshot = decode_snapshot(content)

    if snapshot is not None:
        use(snapshot)


def use(snapshot: Snapshot) -> None:
    index = snapshot.content
    entries = list(index.entries())
    assert len(entries) >= index.count(0.0) >= index.count(1e300)
    assert list(index.scan(0.0, "", reverse=False))[:1] == [entry.key for entry in entries][:1]
    assert list(Index.of(entries).entries()) == entries
    again = decode_snapshot(encode_snapshot(index, snapshot.stamps, snapshot.taken))
    assert again is not None
    assert list(again.content.entries()) == entries


@pytest.mark.parametrize("depth", [100, 5_000, 200_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize(
    "decode", [decode_sidecar, decode_page, lambda content: None], ids=["sidecar", "page", "snapshot"]
)
def test_nesting_without_end(decode: Callable[[bytes], object], opening: bytes, depth: int) -> None:
    """Brackets without end exhaust neither stack nor patience."""
    content = opening * depth
    sealed = seal(content + b"\n")

    assert not decode(content)
    assert decode_snapshot(sealed) is None
    with pytest.raises(FormatError):
        decode_manifest(content, "")


@pytest.mark.parametrize("part", ["lock", "index", "data/b5/.side.attr"])
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 512, b"[" * 5000, b"\xff" * 100, b"null", b'{"format":1,"entries":[7]}']
)
def test_damaged_parts_of_a_folder(golden: Path, clock, part: str, content: bytes) -> None:
    """Whatever lies in the place of what is only kept beside values: they are all there."""
    (golden / part).write_bytes(content)
    with DiskDict(golden, clock=clock) as d:
        assert len(d) == 7
        assert {key: d[key] for key in d} == dict(d)
        d["side"] = "new"
        d["other"] = 1

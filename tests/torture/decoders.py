"""Every decoder of bytes from disk: what well-formed input is, what it may raise, and what holds of all it takes."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final
from zlib import crc32

from hunting import Decoder

from diskdict import FormatError, InvalidValueError, Limits, info, journal, keys, layout, lock, manifest, sidecar
from diskdict.attributes import Attributes, pack, unpack
from diskdict.codecs import JSON, RAW
from diskdict.files import Folder
from diskdict.index import Entry, Index
from diskdict.journal import Amend, Group, Move, Place, Put, Reading, Remove, encode_group, encode_head
from diskdict.records import RecordFiles
from diskdict.scanning import key_of
from diskdict.snapshots import Snapshot, decode_snapshot, encode_snapshot
from diskdict.store import NEVER, Record

# ---- names and keys

KEYS = ("hello", "README", "naïve", "con.txt", ".git", "end.", "a/b", "", "=x", "\ud800", "K" * 80)
OTHER_KEYS = (42, 2**70, -1, 2.5, float("inf"), -0.0, True, None, b"a\0b", (1, ("a,b", ""), None), ((), (("\\",),)))
TEXTS = (*map(keys.encode, (*KEYS, *OTHER_KEYS)), "=T", "=(=f1.0,=F,)")


def as_text(content: bytes) -> str:
    """Return the name of a file as the system gives it."""
    return os.fsdecode(content)


def is_kind(content: bytes, found: layout.Entry) -> bool:
    """A value has a name that one key has, what lies beside has the name of a value, all else is left alone."""
    if found.kind in (layout.Kind.FOREIGN, layout.Kind.TEMPORARY):
        return found.name == as_text(content)
    names = {found.name, *layout.companions(found.name)}
    digest = layout.is_digest(found.name)
    return as_text(content) in names and (digest or layout.encode_name(layout.unescape(found.name)) == found.name)


def is_key(content: bytes, key: keys.Key) -> bool:
    """The text of a key is its own, or a spelling that is written for it."""
    text = as_text(content)
    return text in (keys.encode(key), keys.spelling(key, keys.encode(key)))


class LongKeys:
    """A shard in memory with one file in it: the text of a key too long for a name."""

    def __init__(self) -> None:
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._folder = tempfile.TemporaryDirectory(dir=memory, prefix="diskdict-tests-")
        shards = layout.Shards(1)
        Path(self._folder.name, shards.names[0]).mkdir()
        self._data = Folder(self._folder.name)
        self._files = RecordFiles(self._data, shards, in_attributes=True, sidecars=False, before_sidecar=int)

    def key_of(self, content: bytes) -> str | None:
        """Return the key whose text a file holds that has the right name for it, as far as there is one."""
        name = "%%" + "0" * 64
        with suppress(ValueError):
            name = layout.encode_name(content.decode("utf-8", "surrogatepass"))
        path = f"0/{layout.long_key(name)}"
        if not layout.is_digest(name):
            return None
        self._data.write(path, content, "0/.new")
        found = key_of(self._files, "0", name)
        self._data.unlink(path)
        return found

    def close(self) -> None:
        """Leave nothing behind."""
        self._data.close()
        self._folder.cleanup()


def long_key(content: bytes) -> str | None:
    """Return what `LongKeys` finds: one folder for a thousand inputs would not be let go of if the process ends."""
    folder = LongKeys()
    try:
        return folder.key_of(content)
    finally:
        folder.close()


def is_long_key(content: bytes, key: str | None) -> bool:
    """What is taken for a key is the text of one, and too long for a name."""
    if key is None:
        return True
    return key.encode("utf-8", "surrogatepass") == content and layout.is_digest(layout.encode_name(key))


# ---- values

VALUES: tuple[object, ...] = (
    *(None, True, -5, 2.5, 10**5_000, "text", "naïve\ud800", "", b"", b"\x89PNG", b"{", b"\0", [], {}, [1, [2, {}]]),
    {"a": {"b": [1, None, "x"]}, "$x": 1, "long": "y" * 50},
    (1, (2, "x")),
    {1: "x", None: (), "$a": b"z"},
    {"$tuple": [1]},
    {1, 2, "a"},
    frozenset({b"a", (1, 2)}),
    float("inf"),
    float("nan"),
    *(JSON.loads(f'{{"${name}"}}'.encode()) for name in ('date":"2024-02-29', 'decimal":"1.50', 'decimal":"sNaN')),
    JSON.loads(b'{"$uuid":"12345678-1234-5678-1234-567812345678"}'),
    JSON.loads(b'{"$datetime":["2024-02-29T12:30:00.5+01:00",1,"CET"]}'),
    JSON.loads(b'[{"$time":"12:30:00"},{"$timedelta":[1,2,3]},{"$str":"\\\\ud800"},{"$float":"-inf"}]'),
)


def is_value(content: bytes, value: object) -> bool:
    """It can be written and comes back, or is one of the few that are read and not written."""
    try:
        written = JSON.dumps(value)
    except InvalidValueError:
        return True
    again = JSON.loads(written)
    return type(again) is type(value) and JSON.dumps(again) == written


# ---- what is kept beside values

KNOWN = Attributes(7, 1_700_000_000.25, NEVER, 9, 5, crc32(b"12345"))
OLDER = Attributes(1 << 40, -1.5, 1e300, 12, 0, 0, '{"of":"naïve"}', "=T")


def are_attributes(content: bytes, found: tuple[Attributes, int] | None) -> bool:
    """They are written as they were read, but for the flags."""
    if found is None:
        return True
    again = pack(found[0])
    return (again[:1], again[2:]) == (content[:1], content[2:]) and found[0].expires == found[0].expires


def are_entries(content: bytes, found: list[Attributes]) -> bool:
    """They come back when written, and all but the order fits the attribute."""
    return sidecar.decode(sidecar.encode(found)) == found and all(
        unpack(pack(entry._replace(order=0))) is not None and entry.order < 1 << 63 for entry in found
    )


def is_metadata(content: bytes, found: dict[str, object]) -> bool:
    """It is a mapping of texts to values."""
    return all(type(name) is str for name in found)


# ---- the parts of a folder

PAGE = lock.Page(4711, "somewhere", "2023-11-14T22:13:20+00:00", True, False, 1 << 20, True, True)
MANIFESTS = (
    manifest.Manifest("dict", "json"),
    manifest.Manifest("queue", "raw", 16, Limits(100, 1 << 40, 1 << 62, True), 0o640),
)


def is_page(content: bytes, page: lock.Page | None) -> bool:
    """As who opens the store takes it over, it is written in its place and comes back."""
    if page is None:
        return True
    own = lock.own_page()
    taken = page._replace(pid=own.pid, host=own.host, since=own.since)
    written = lock.encode_page(taken)
    return len(written) == 512 and lock.decode_page(written) == taken and bool(page.holder())


def is_manifest(content: bytes, found: manifest.Manifest) -> bool:
    """It comes back when written, and a store can be made of it."""
    again = manifest.decode(manifest.encode(found), "")
    return again == found and layout.Shards(found.shards).count == found.shards and 0 <= (found.mode or 0) <= 0o777


def index_of(*entries: Entry) -> bytes:
    """Return the snapshot of an index."""
    return encode_snapshot(Index.of(entries), {"05": (11, 1_700), "e2": (12, 1_800)}, 1 << 60)


SNAPSHOTS = (
    index_of(),
    index_of(*(Entry(f"k{number}", number, number * 10, 5.5, NEVER, None) for number in range(5))),
    index_of(
        Entry("=i1", 1, 10, 5.5, 7.5, "=T"), Entry("README", 2, 20, -1.0, NEVER, None), Entry("", 3, 1, 0, 9, None)
    ),
)


def is_index(content: bytes, snapshot: Snapshot | None) -> bool:
    """It can be used as any index, and comes back when kept again."""
    if snapshot is None:
        return True
    index = snapshot.content
    entries = list(index.entries())
    for now in (-1e300, 6.0, 1e300):
        alive = index.count(now)
        if alive != len(list(index.scan(now, "", reverse=False))) or not 0 <= alive <= len(entries):
            return False
    index.remove("k1")
    index.put("new", 1 << 61, 5, 1.0, 8.0, None)
    again = decode_snapshot(encode_snapshot(index, snapshot.stamps, snapshot.taken))
    return again is not None and list(again.content.entries()) == list(index.entries())


def seal_index(content: bytes) -> bytes:
    """Return a snapshot with this body and a checksum that fits."""
    return b"diskdict index 1 %08x\n%s" % (crc32(content), content)


def is_whole_index(content: bytes, snapshot: Snapshot | None) -> bool:
    """With a checksum that fits nothing is in it that was not written."""
    return snapshot is None or content in SNAPSHOTS


# ---- the journal

EPOCH = 123_456_789
CHANGES: tuple[tuple[journal.Change, ...], ...] = (
    (Put("k", Record(b"12345", 7, 1.5, 2.5, NEVER, 9, None, None)),),
    (
        Remove("gone", 1 << 40),
        Amend("=i1", OLDER),
        Place("naïve", "0", KNOWN, beside=True),
        Place("b", "12", OLDER, False),
    ),
    (Move("from", "to", KNOWN), Put("\ud800", Record(b"{}", 1, 1.0, 1.0, 5.0, 3, '{"a":1}', "=T"))),
)
GROUPS = {epoch: [Group(n, max(0, n - 2), each) for n, each in enumerate(CHANGES * 2, 1)] for epoch in (EPOCH, 1 << 50)}
JOURNALS = tuple(
    encode_head(epoch) + b"".join(encode_group(group, epoch) for group in groups) + tail
    for epoch, groups in GROUPS.items()
    for tail in (b"", bytes(100), encode_group(groups[0], 5))
)
FLAGS_AT = journal._CHANGE.size + 1  # of the attributes in a change
BODIES = tuple(b"".join(map(journal._encode_change, each)) for each in CHANGES)


def is_journal(content: bytes, found: Reading) -> bool:
    """Its groups are the first of those that were written, each whole."""
    written = GROUPS.get(found.epoch, [])
    return list(found.groups) == written[: len(found.groups)]


def seal_group(body: bytes) -> bytes:
    """Return a journal of one group whose checksum fits."""
    rest = journal._GROUP.pack(0, len(body), 1, 0)[4:] + body
    return encode_head(EPOCH) + crc32(rest, journal.seed_of(EPOCH)).to_bytes(4, "little") + rest


def is_group(content: bytes, found: Reading) -> bool:
    """Each change is written as it was read, but for flags and what some kinds pass over, and nothing is left."""
    for group in found.groups:
        at = journal.SECTOR + journal._GROUP.size
        for change in group.changes:
            again = bytearray(journal._encode_change(change))
            kind, *lengths = journal._CHANGE.unpack_from(content, at)
            if kind not in (journal._REMOVE, journal._AMEND):
                again[FLAGS_AT] = content[at + FLAGS_AT]
                if content[at : at + len(again)] != again:
                    return False
            at += journal._CHANGE.size + journal._WIDTHS.get(kind, len(pack(KNOWN))) + sum(lengths)
        if at != len(content) or journal.decode(encode_head(EPOCH) + encode_group(group, EPOCH)).groups != (group,):
            return False
    return True


def is_head(content: bytes, epoch: int | None) -> bool:
    """It is written again with the same epoch."""
    return epoch is None or journal.decode_head(encode_head(epoch)) == epoch


def _texts(texts: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(text.encode("utf-8", "surrogatepass") for text in texts)


DECODERS: Final[dict[str, Decoder]] = {
    "names": Decoder(
        lambda content: layout.unescape(as_text(content)),
        tuple(layout.escape(text).encode() for text in TEXTS),
        lambda content, text: layout.escape(text) == as_text(content),
        (ValueError,),
    ),
    "files of a shard": Decoder(
        lambda content: layout.classify(as_text(content)),
        tuple(
            name.encode()
            for text in (*TEXTS, "K" * 300)
            for name in (layout.encode_name(text), *layout.companions(layout.encode_name(text)))
        ),
        is_kind,
    ),
    "keys": Decoder(lambda content: keys.decode(as_text(content)), _texts(TEXTS), is_key, (ValueError,)),
    "texts of long keys": Decoder(
        long_key, _texts(("K" * 250, "=b" + "ÿ" * 120, "=(" + "=i1," * 60 + ")", "é" * 120)), is_long_key, share=0.02
    ),
    "json": Decoder(JSON.loads, tuple(map(JSON.dumps, VALUES)), is_value, (ValueError,)),
    "raw": Decoder(
        RAW.loads,
        tuple(map(RAW.dumps, (b"", b"\x1b", b"abc"))),
        lambda _, v: RAW.loads(RAW.dumps(v)) == v,
        (ValueError,),
    ),
    "attribute": Decoder(unpack, (pack(KNOWN), pack(OLDER)), are_attributes),
    "metadata": Decoder(
        lambda content: info.unpack(content.decode("latin-1")),
        (info.pack({"a": (1, None)}).encode(), info.pack({"b": b"x"}).encode()),
        is_metadata,
    ),
    "sidecar": Decoder(sidecar.decode, (sidecar.encode([KNOWN]), sidecar.encode([OLDER, KNOWN])), are_entries),
    "lock page": Decoder(lock.decode_page, (lock.encode_page(PAGE), lock.encode_page(PAGE).rstrip()), is_page),
    "diskdict.json": Decoder(
        lambda content: manifest.decode(content, "here"),
        tuple(map(manifest.encode, MANIFESTS)),
        is_manifest,
        (FormatError,),
    ),
    "index": Decoder(decode_snapshot, SNAPSHOTS, is_whole_index),
    "sealed index": Decoder(
        decode_snapshot, tuple(each.partition(b"\n")[2] for each in SNAPSHOTS), is_index, seal=seal_index, share=0.5
    ),
    "journal": Decoder(journal.decode, JOURNALS, is_journal, (FormatError,), share=0.1),
    "sealed journal": Decoder(journal.decode, BODIES, is_group, seal=seal_group, share=0.2),
    "head of a journal": Decoder(journal.decode_head, tuple(each[:512] for each in JOURNALS), is_head, (FormatError,)),
}

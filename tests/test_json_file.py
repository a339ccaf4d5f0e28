"""`JsonFileStore` keeps the contract of all stores, the dict and `KVStore` over it theirs; and what is of its own."""

from __future__ import annotations

import gzip
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from clocks import Clock
from folders import watched
from hypothesis import given, settings
from hypothesis import strategies as st
from kvstore_contract import KVStoreContract, MakeKV
from mapping_contract import Dict, MakeDict, MappingContract
from shell import run_here
from store_contract import MakeStore, StoreContract

from diskdict import ConflictError, DiskDict, FormatError, KVStore, StoreLockedError, open_dict, open_store
from diskdict.backends.file import FolderStore
from diskdict.backends.jsonfile.document import assembled, entry, read
from diskdict.backends.jsonfile.store import JsonFileStore
from diskdict.codecs import resolve
from diskdict.core import StoreDict
from diskdict.store import NEVER, Record


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[MakeStore]:
    made: list[JsonFileStore] = []

    def make(clock: Clock, **options: Any) -> JsonFileStore:
        made.append(JsonFileStore(str(tmp_path / f"{len(made)}.json"), clock=clock, **options))
        return made[-1]

    yield make
    for store in made:
        store.close()


class TestJsonFileStore(StoreContract):
    """The contract over a file."""

    @pytest.fixture
    def make_store(self, make_store: MakeStore) -> MakeStore:
        return make_store


class TestCompressedFile(StoreContract):
    """The contract over a file that is compressed."""

    @pytest.fixture
    def make_store(self, make_store: MakeStore) -> MakeStore:
        return lambda *args, **options: make_store(*args, compression="gzip", **options)


@pytest.fixture
def make_dict(make_store: MakeStore, clock: Clock) -> Iterator[MakeDict]:
    made: list[Dict] = []

    def make(*, lock: Any = None, limits: Any = None, **options: Any) -> Dict:
        codec = resolve(options.get("codec", "json")).name
        made.append(StoreDict(make_store(clock, lock=lock, limits=limits, codec=codec), limits=limits, **options))
        return made[-1]

    yield make
    for d in made:
        d._values.forget_all()
        d.close()


class TestJsonFileDict(MappingContract):
    """The contract of mappings over a file."""

    @pytest.fixture
    def make_dict(self, make_dict: MakeDict) -> MakeDict:
        return make_dict


class TestJsonFileKVStore(KVStoreContract):
    """The contract of `KVStore` over a file."""

    @pytest.fixture
    def make_kv(self, path: Path, clock: Clock) -> MakeKV:
        return lambda **options: KVStore("file", {"path": path}, clock=clock, **options)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "settings.json"


@pytest.fixture
def opened(path: Path, clock: Clock) -> Iterator[Callable[..., JsonFileStore]]:
    """Opens the file, having closed what was opened before."""
    made: list[JsonFileStore] = []

    def open_it(where: Path = path, **options: Any) -> JsonFileStore:
        for store in made:
            store.close()
        made.append(JsonFileStore(str(where), clock=clock, **options))
        return made[-1]

    yield open_it
    for store in made:
        store.close()


Open = Callable[..., JsonFileStore]


def records(store: JsonFileStore) -> dict[str, Record | None]:
    """Return all records in order."""
    return {key: store.get(key) for key in store.scan()}


# ---- the text

GOLDEN = """\
{
  "diskdict": {"format": 1, "codec": "json", "last": 6},
  "keys": {
    "app.db.host": {"value": "localhost", "created_at": "2027-01-15T08:00:00Z", "order": 1},
    "photo": {"base64": "iVBORw==", "created_at": "2027-01-15T08:00:00Z", "order": 2},
    "session": {"value": {"$tuple":[1,"é"]}, "created_at": "2027-01-15T08:00:00Z", \
"updated_at": "2027-01-15T08:00:01.25Z", "expires_at": "2027-01-15T09:00:00Z", \
"metadata": {"owner":"ops"}, "order": 3, "version": 5},
    "=i1": {"value": 1.5, "created_at": "2027-01-15T08:00:01.25Z", "spelling": "=T", "order": 6}
  }
}
"""


def test_what_people_see(path: Path) -> None:
    """A line for each key, in order; values as they are; times as dates; nothing that says nothing."""
    clock = Clock(1_800_000_000.0)
    with StoreDict[object, object](JsonFileStore(str(path), clock=clock)) as d:
        d["app.db.host"] = "localhost"
        d["photo"] = b"\x89PNG"
        d.set("session", 0, ttl=3600)
        d["gone"] = 1
        clock.tick(1.25)
        d.set("session", (1, "é"), ttl=3598.75, metadata={"owner": "ops"})
        del d["gone"]
        d[True] = 1.5

    assert path.read_text(encoding="utf-8") == GOLDEN
    clock.tick(-1.25)
    with StoreDict[object, object](JsonFileStore(str(path), clock=clock)) as d:
        assert list(d.items()) == [
            ("app.db.host", "localhost"),
            ("photo", b"\x89PNG"),
            ("session", (1, "é")),
            (True, 1.5),
        ]
        assert d.ttl("session") == 3600


def test_empty_store(path: Path) -> None:
    """It is there from the beginning, private."""
    JsonFileStore(str(path)).close()

    assert json.loads(path.read_text()) == {"diskdict": {"format": 1, "codec": "json", "last": 0}, "keys": {}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    JsonFileStore(str(path)).close()


texts = st.text(st.characters(exclude_categories=[]), max_size=8) | st.sampled_from(
    ["", "\0", "\ud83d\ude00", "😀", "$str:x", "$str:\ud800", "\\ud800", '"', "\u2028", "=n", "\x7f/"]
)
payloads = (
    st.binary(max_size=12)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=6,
    ).map(lambda value: json.dumps(value, separators=(",", ":")).encode())
    | st.sampled_from(
        [b'{"a":1,"a":2}', b"-0", b"1e400", b"NaN", b"1.0", b"1e5", b'"\\ud800"', b" 1", b"[1, 2]", b'"\xff"', b"-"]
    )
)
times = st.floats(0, 4e9) | st.floats(0, 1e308) | st.sampled_from([0.0, 1e-9, 253_402_300_799.9, 253_402_300_800.0])
metas = st.none() | st.sampled_from(['{"a":1}', '{"a": 1}', "{}", '{"b":"\ud800"}', "{", "text", '{"$tuple":[1]}'])


@settings(deadline=None)
@given(
    st.dictionaries(
        texts,
        st.tuples(payloads, times, times, times | st.just(NEVER), st.integers(1, 1 << 62), metas, st.none() | texts),
        max_size=5,
    )
)
def test_every_record_comes_back_the_same(found: dict[str, Any]) -> None:
    """Whatever is in it: the text is JSON, and read gives all fields bit by bit."""
    whole = {
        key: Record(payload, order, created, updated, expires, version, meta, spelling)
        for order, (key, (payload, created, updated, expires, version, meta, spelling)) in enumerate(found.items(), 1)
    }
    content = assembled("json", 1 << 62, (entry(key, record) for key, record in whole.items()))

    json.loads(content)
    assert read(content, "here", 0.0) == ("json", 1 << 62, whole)
    assert list(read(content, "here", 0.0).records) == list(whole)


def test_numbers_are_never_given_twice(opened: Open) -> None:
    """Neither an order nor a version, though nothing is left that has had it."""
    store = opened()
    first = store.put("a", b"1")
    store.delete("a")

    second = opened().put("a", b"1")
    assert first is not None
    assert second is not None
    assert second > first


# ---- by hand


def edited(opened: Open, path: Path, change: Callable[[dict[str, Any]], object]) -> JsonFileStore:
    """Have a file with the keys a and b, changed by hand, and open it."""
    store = opened()
    store.put("a", b"1")
    store.put("b", b"2")
    store.close()
    document = json.loads(path.read_text())
    change(document["keys"])
    path.write_text(json.dumps(document, indent=4))
    return opened()


def test_value_is_edited(opened: Open, path: Path) -> None:
    """However it is spaced."""
    store = edited(opened, path, lambda keys: keys["a"].update(value={"x": [1, 2.50]}))

    assert store.read("a") == b'{"x":[1,2.5]}'
    assert list(store.scan()) == ["a", "b"]


def test_keys_are_added_by_their_values_alone(opened: Open, path: Path) -> None:
    """They come last, with numbers of their own, and stay when others are written."""
    store = edited(opened, path, lambda keys: keys.update(c={"value": "new"}, d={"base64": "AA=="}))
    found = records(store)
    assert list(found) == ["a", "b", "c", "d"]
    assert [record.payload for record in found.values() if record] == [b"1", b"2", b'"new"', b"\x00"]
    assert len({record.version for record in found.values() if record}) == 4

    store.put("e", b"5")
    again = records(opened())
    assert {key: again[key] for key in found} == found


def test_line_is_copied(opened: Open, path: Path) -> None:
    """With its number and all."""
    store = edited(opened, path, lambda keys: keys.update(copy=dict(keys["a"])))

    assert list(store.scan()) == ["a", "b", "copy"]
    assert store.read("copy") == b"1"


@pytest.mark.parametrize("time", ["2100-01-01T00:00:00Z", "2100-01-01T02:00:00.0+02:00", 4_102_444_800])
def test_time_is_written_in_another_way(opened: Open, path: Path, time: object) -> None:
    """In another zone, or as seconds."""
    store = edited(opened, path, lambda keys: keys["a"].update(expires_at=time))

    record = store.get("a")
    assert record is not None
    assert record.expires == 4_102_444_800.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda keys: keys["a"].update(ttl=5), "'a'.*'ttl'"),
        (lambda keys: keys["a"].pop("value"), "'a'.*'value' or 'base64'"),
        (lambda keys: keys["a"].update(base64=""), "'a'.*'value' or 'base64'"),
        (lambda keys: keys["a"].update(expires_at="tomorrow"), "'a'.*tomorrow"),
        (lambda keys: keys["a"].update(expires_at=-1), "'a'.*-1"),
        (lambda keys: keys["a"].update(created_at="2024-13-01T00:00:00Z"), "'a'.*month"),
        (lambda keys: keys["a"].update(order=0), "0"),
        (lambda keys: keys["a"].update(version="1"), "'1'"),
        (lambda keys: keys["a"].update(metadata=5), "'a'.*5"),
        (lambda keys: keys["a"].update(value="\ud800"), "'a'"),
        (lambda keys: keys.update(c=5), "'c'.*5"),
        (lambda keys: keys.update({"$str:\\N{x}": {"value": 1}}), "escape"),
        (lambda keys: keys.update({"$str:a": {"value": 1}}), "twice"),
    ],
)
def test_mistakes_are_named(opened: Open, path: Path, change: Any, said: str) -> None:
    """With their key; the file is left as it is."""
    with pytest.raises(FormatError, match=said) as caught:
        edited(opened, path, change)

    assert str(path) in str(caught.value)
    assert "a" in json.loads(path.read_text())["keys"]


# ---- damage


def refused(path: Path, content: bytes, said: str) -> None:
    """See that a file is refused, left as it is, and that nothing keeps others from it."""
    path.write_bytes(content)
    with pytest.raises(FormatError, match=said) as caught:
        JsonFileStore(str(path))

    assert str(path) in str(caught.value)
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name]


def test_torn_file_is_refused(path: Path, tmp_path: Path) -> None:
    """Wherever it was cut."""
    whole = GOLDEN.encode()
    (tmp_path / "torn").mkdir()
    for length in range(len(whole) - 2):
        refused(tmp_path / "torn" / "x.json", whole[:length], "damaged")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{}", "no store"),
        (b'{"a": 1}', "no store"),
        (b"[1]", "no store"),
        (b'{"diskdict": 1}', "no store"),
        (b"\xff\xfe", "damaged.*UTF-8"),
        (b"not JSON", "damaged.*line 1"),
        (GOLDEN.replace('"format": 1', '"format": 2').encode(), "format 2.*reads format 1"),
        (GOLDEN.replace('"codec": "json"', '"codec": "pickle"').encode(), "'pickle', not 'json'"),
        (GOLDEN.replace('"last": 6', '"last": "6"').encode(), "'6'"),
        (GOLDEN.replace('"keys"', '"entries"').encode(), "'entries'"),
        (GOLDEN.replace('"photo"', '"session"').encode(), "'session' twice"),
        (GOLDEN.replace("1.5", "1e999").encode(), "1e999"),
        (GOLDEN.replace("1.5", "NaN").encode(), "NaN"),
        (gzip.compress(GOLDEN.encode())[:-1], "end is missing"),
        (b"\x1f\x8bno gzip", "gzip"),
        (b"\x28\xb5\x2f\xfdno zstd", "zstd"),
    ],
)
def test_other_files_are_refused(path: Path, content: bytes, said: str) -> None:
    """Cut, foreign, newer: never taken for an empty store."""
    refused(path, content, said)


def test_what_is_no_file_is_refused(path: Path) -> None:
    """It would hang its reader."""
    os.mkfifo(path)

    with pytest.raises(FormatError, match="regular"):
        JsonFileStore(str(path))


# ---- the file


def test_permissions_stay(opened: Open, path: Path) -> None:
    """Whoever was let in stays in."""
    store = opened()
    path.chmod(0o644)
    store.put("a", b"1")

    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_link_is_followed(opened: Open, path: Path, tmp_path: Path) -> None:
    """It stays a link, and the file that it leads to is changed."""
    real = tmp_path / "elsewhere" / "real.json"
    path.symlink_to(real)
    opened().put("a", b"1")

    assert path.is_symlink()
    assert json.loads(real.read_text())["keys"]["a"]["value"] == 1
    with pytest.raises(StoreLockedError):
        JsonFileStore(str(real))


@pytest.mark.parametrize("edit", [lambda path: path.write_text("{}"), Path.unlink], ids=["written", "removed"])
def test_what_others_have_changed_meanwhile_is_left(opened: Open, path: Path, edit: Callable[[Path], object]) -> None:
    """A change is refused, and nothing of theirs is lost."""
    store = opened()
    store.put("a", b"1")
    edit(path)
    left = path.read_text() if path.exists() else None

    with pytest.raises(ConflictError, match=r"settings\.json was changed by somebody else"):
        store.put("a", b"2")
    assert (path.read_text() if path.exists() else None) == left
    assert store.read("a") == b"1"


def writes(do: Callable[[], object]) -> int:
    """Return how often the file is written meanwhile."""
    with watched() as seen:
        do()
    return sum(str(name).endswith(".new") for call, name in seen if call == "open")


def test_batches_are_written_once(path: Path) -> None:
    """What is changed as one; what changes nothing is not written at all."""
    store = JsonFileStore(str(path))
    d = StoreDict[object, object](store)

    def together() -> None:
        with d.transaction():
            d["x"] = 1
            d.increment("x")
            del d["a"]

    assert writes(lambda: d.set_many({"a": 1, "b": 2, "c": 3})) == 1
    assert writes(together) == 1
    assert writes(lambda: d.update({number: number for number in range(1_000)})) == 1
    assert writes(lambda: d.delete_many(["b", "c", "missing"])) == 1
    assert writes(lambda: store.put_many({"p": b"1", "q": b"2"})) == 1
    assert writes(lambda: store.delete_many(["p", "q"])) == 1
    assert writes(lambda: d.rename("x", "y")) == 1
    assert writes(lambda: (d.get("y"), d.delete("missing"), d.cleanup_expired(), list(d), store.put_many({}))) == 0
    d.close()


def test_expired_leave_the_file(opened: Open, path: Path, clock: Clock) -> None:
    """By sweeping, and by the way of other changes."""
    store = opened()
    for number in range(6):
        store.put(f"k{number}", b"1", expires=clock.now + 5)
    clock.tick(5)
    store.put("new", b"1")
    assert len(json.loads(path.read_text())["keys"]) == 5
    assert store.sweep() == 4

    assert list(json.loads(path.read_text())["keys"]) == ["new"]


def test_second_handle_is_refused(opened: Open, path: Path) -> None:
    """It is told who has the file; when that is closed, it is free."""
    store = opened()

    with pytest.raises(StoreLockedError, match=f"this process.*{os.getpid()}") as caught:
        JsonFileStore(str(path))
    assert caught.value.path == str(path)
    store.close()
    JsonFileStore(str(path)).close()


_HOLD = """
import sys
from diskdict import open_dict
d = open_dict(sys.argv[1])
d["theirs"] = 1
print("ready", flush=True)
sys.stdin.read()
"""


def test_second_process_is_refused(path: Path) -> None:
    """Until the first has ended, however it did."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), *sys.path]))
    }
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, path], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"

        with pytest.raises(StoreLockedError, match=f"process {process.pid}"):
            open_dict(path)
        process.kill()
    with open_dict(path) as d:
        assert d == {"theirs": 1}


def test_forgotten_store_is_closed(path: Path) -> None:
    """With a warning."""
    made = [JsonFileStore(str(path))]

    with pytest.warns(ResourceWarning, match=r"settings\.json"):
        made.clear()

    JsonFileStore(str(path)).close()


# ---- compression


@pytest.mark.parametrize(("ending", "expand"), [("gz", gzip.decompress), ("zst", zstandard.decompress)])
def test_compressed_by_name(opened: Open, tmp_path: Path, ending: str, expand: Callable[[bytes], bytes]) -> None:
    """Others can read it; it is told by its bytes when its name is another."""
    path, other = tmp_path / f"x.json.{ending}", tmp_path / "other.json"
    opened(path).put("a", b"1")
    assert json.loads(expand(path.read_bytes()))["keys"]["a"]["value"] == 1
    opened(other).close()
    path.rename(other)

    store = opened(other)
    assert store.read("a") == b"1"
    store.put("b", b"2")
    assert len(json.loads(expand(other.read_bytes()))["keys"]) == 2


def test_compressed_by_option(opened: Open, path: Path) -> None:
    """Who opens it again need not say it, and may not say another."""
    opened(compression="zstd").put("a", b"1")

    assert opened().compression == "zstd"
    assert opened(compression="zstd").read("a") == b"1"
    with pytest.raises(FormatError, match=r"'zstd', not 'gzip'"):
        opened(compression="gzip")


@pytest.mark.parametrize(
    ("name", "compression", "said"), [("x.json.gz", "zstd", "'gzip'.*'zstd'"), ("x.json", "bzip2", "'gzip'.*'bzip2'")]
)
def test_compression_that_cannot_be(tmp_path: Path, name: str, compression: str, said: str) -> None:
    """Another than the name says, or none that there is; nothing is made."""
    with pytest.raises(ValueError, match=said):
        JsonFileStore(str(tmp_path / name), compression=compression)

    assert os.listdir(tmp_path) == []


# ---- which paths


@pytest.mark.parametrize("name", ["x.json", "x.json.gz", "x.json.zst"])
@pytest.mark.parametrize("scheme", ["", "file:"])
def test_paths_of_one_file(tmp_path: Path, name: str, scheme: str) -> None:
    """By their ends, as paths and as URLs, for every way of opening."""
    url = f"{scheme}{tmp_path / name}"
    with open_dict(url) as d:
        d["k"] = 1
    assert (tmp_path / name).is_file()
    with KVStore.from_url(url).sync as kv:
        assert kv.get("k") == 1
    store = open_store(url)
    assert isinstance(store, JsonFileStore)
    store.close()


def test_file_with_any_name(tmp_path: Path, path: Path) -> None:
    """If it is there."""
    with open_dict(path) as d:
        d["k"] = 1
    other = path.rename(tmp_path / "settings")

    with open_dict(other) as d:
        assert d == {"k": 1}
    with KVStore("file", {"path": other}).sync as kv:
        assert kv.get("k") == 1


def test_folder_with_such_a_name_stays_one(path: Path) -> None:
    """And `DiskDict` always means a folder."""
    with DiskDict(path) as d:
        d["k"] = 1

    with open_dict(path) as again:
        assert isinstance(again, DiskDict)
    with KVStore("file", {"path": path}).sync as kv:
        assert kv.get("k") == 1
        assert isinstance(kv.store, FolderStore)


def test_format_is_said(tmp_path: Path) -> None:
    """Whatever the name says; what is there already is not overlooked."""
    with KVStore("file", {"path": tmp_path / "x", "format": "json", "compression": "gzip"}).sync as kv:
        kv.set("k", 1)
    with KVStore("file", {"path": tmp_path / "y.json", "format": "folder"}).sync as kv:
        kv.set("k", 1)

    assert json.loads(gzip.decompress((tmp_path / "x").read_bytes()))["keys"]["k"]["value"] == 1
    assert (tmp_path / "y.json").is_dir()
    with KVStore("file", {"path": tmp_path / "x", "format": "folder"}).sync as kv, pytest.raises(NotADirectoryError):
        kv.get("k")
    with (
        KVStore("file", {"path": tmp_path / "y.json", "format": "json"}).sync as kv,
        pytest.raises(FormatError, match="regular"),
    ):
        kv.get("k")


def test_wrong_format_is_named() -> None:
    """Before anything is opened."""
    with pytest.raises(ValueError, match=r"format.*'json', 'folder'.*'yaml'"):
        KVStore("file", {"path": "x.json", "format": "yaml"})


def test_stores_of_a_process_share_the_file(path: Path) -> None:
    """Two namespaces side by side; who wants it compressed otherwise is refused, and the others go on."""
    first, second = KVStore("file", {"path": path}).sync, KVStore("file", {"path": path}, "b").sync
    first.set("k", 1)
    second.set("k", 2)
    with (
        KVStore("file", {"path": path, "compression": "gzip"}).sync as third,
        pytest.raises(FormatError, match="compression None, not 'gzip'"),
    ):
        third.get("k")

    first.close()
    assert second.get("k") == 2
    with pytest.raises(StoreLockedError):
        open_dict(path)
    second.close()
    with open_dict(path) as d:
        assert d == {"k": 1, ("b", "k"): 2}


# ---- at a shell


def test_commands_about_keys(path: Path) -> None:
    """They take the file as they take a folder; nothing is made by asking."""
    assert run_here("get", "k", store=path)[0] == 2
    assert not path.exists()
    assert run_here("set", "k", "[1, 2]", store=path)[0] == 0
    assert run_here("get", "k", store=path)[:2] == (0, b"[1,2]\n")
    assert run_here("keys", store=path)[1] == b"k\n"
    assert run_here("verify", store=path)[0] == 2
    with open_dict(path) as d:
        assert d == {"k": [1, 2]}
        assert run_here("get", "k", store=path)[0] == 3


def test_migrate_command(path: Path, tmp_path: Path) -> None:
    """From a folder, compressed or not, to a file and back."""
    with DiskDict(tmp_path / "from", codec="json+gzip") as d:
        d.set("k", [1], ttl=1000, metadata={"by": "me"})
        d[2] = b"\x00"

    assert run_here("migrate", tmp_path / "from", path, store=tmp_path)[0] == 0
    assert run_here("migrate", f"file:{path}", tmp_path / "to", store=tmp_path)[0] == 0
    assert run_here("migrate", tmp_path / "none.json", tmp_path / "to", store=tmp_path)[0] == 2
    with DiskDict(tmp_path / "to") as d:
        assert list(d.items()) == [("k", [1]), (2, b"\x00")]
        assert d.info("k").metadata == {"by": "me"}
        assert 990 < (d.ttl("k") or 0) <= 1000

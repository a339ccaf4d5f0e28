"""`DiskDict` keeps the contract of all mappings, and what it promises about folders, paths and options."""

from __future__ import annotations

import gc
import itertools
import json
import os
import pickle
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest
from folders import kill, tree, use_sidecars, use_sidecars_sometimes, value_at
from mapping_contract import MakeDict, MappingContract, wait_until

from diskdict import (
    FOREVER,
    ClosedError,
    CorruptValueError,
    DiskDict,
    FormatError,
    InvalidValueError,
    LimitError,
    Limits,
    ReadOnlyError,
    StoreLockedError,
    open_dict,
)
from diskdict.backends.file import FolderStore
from diskdict.backends.memory import MemoryStore

Dict = DiskDict[Any, Any]
Open = Callable[..., Dict]


class InFolders(MappingContract):
    """The contract over folders that are made side by side."""

    options: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def base(self, tmp_path: Path) -> Path:
        return tmp_path

    @pytest.fixture
    def make_dict(self, base: Path, clock) -> Iterator[MakeDict]:
        made: list[Dict] = []

        def make(**options: Any) -> Dict:
            made.append(DiskDict(base / f"store{len(made)}", clock=clock, **self.options, **options))
            return made[-1]

        yield make
        for d in made:
            d._values.forget_all()
            d.close()


class TestAttributes(InFolders):
    """Expiry and order in extended attributes."""


class TestSidecars(InFolders):
    """Expiry and order beside the values."""

    @pytest.fixture(autouse=True)
    def _home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        use_sidecars(monkeypatch)


class TestSidecarsForSomeFiles(InFolders):
    """Files whose attributes fit each second time only."""

    @pytest.fixture(autouse=True)
    def _home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        use_sidecars_sometimes(monkeypatch)


class TestFullDurability(InFolders):
    """Each change on disk before it counts, the files after that."""

    options: ClassVar = {"durability": "full", "interval": 0.002}


class TestIntervalDurability(InFolders):
    """Files that follow by a thread that is always at it."""

    options: ClassVar = {"durability": "interval", "interval": 0.002}


class TestSidecarsOnRamfs(InFolders):
    """A real filesystem without attributes, mounted for these tests where this user may do that."""

    @pytest.fixture
    def base(self, without_attributes: Path) -> Path:
        return without_attributes


@pytest.fixture
def opened(folder: Path, clock) -> Iterator[Open]:
    """Opens the folder on the test's clock, and closes what was opened."""
    made: list[Dict] = []

    def open_it(**options: Any) -> Dict:
        made.append(DiskDict(folder, **{"clock": clock} | options))
        return made[-1]

    yield open_it
    for d in made:
        d._values.forget_all()
        d.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's home, in which nothing is yet."""
    for name, place in (("HOME", "home"), ("USERPROFILE", "home"), ("XDG_DATA_HOME", "home/data")):
        monkeypatch.setenv(name, str(tmp_path / place))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


# ---- where it lives


def test_without_a_path_there_is_a_fresh_folder(home: Path) -> None:
    """Each one has its own folder among the user's data, readable as ``path``, and can be opened again by that."""
    with DiskDict() as first, DiskDict() as second:
        first["k"] = 1
        places = {first.path, second.path}
        alone = dict(second)
    with DiskDict(first.path) as again:
        assert again == {"k": 1}

    assert len(places) == 2
    assert alone == {}
    assert all(place.is_relative_to(home) and "diskdict" in place.parts for place in places)


def test_user_data_folder_is_that_of_the_environment(home: Path) -> None:
    """XDG_DATA_HOME is heeded where the system knows it."""
    with DiskDict() as d:
        assert d.path.parent == home / "data" / "diskdict"


@pytest.mark.parametrize("form", [str, Path])
def test_tilde_is_the_home(home: Path, form: Callable[[str], Any]) -> None:
    """A path may begin with ``~``; parents are made."""
    with DiskDict(form("~/deep/er/store")) as d:
        d["k"] = 1

    assert d.path == home / "deep" / "er" / "store"
    assert value_at(d.path, "k").read_bytes() == b"1"


def test_path_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is relative to where the program was when it opened."""
    monkeypatch.chdir(tmp_path)
    with DiskDict("store") as d:
        monkeypatch.chdir("/")
        d["k"] = 1

        assert d.path == tmp_path / "store"
        assert d.path_for("k").read_bytes() == b"1"


@pytest.mark.parametrize("path", [b"/tmp/x", 5, ["x"], object(), True])
def test_path_of_another_type(path: Any) -> None:
    """Only text and paths are paths."""
    with pytest.raises(TypeError):
        DiskDict(path)


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_path_that_is_none(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty path is not the current folder."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"empty|null"):
        DiskDict(path)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("create", [True, False])
def test_path_of_a_file(folder: Path, create: bool) -> None:
    """A file is not made into a folder, and stays as it is."""
    folder.write_bytes(b"theirs")
    with pytest.raises(NotADirectoryError, match="store"):
        DiskDict(folder, create=create)

    assert folder.read_bytes() == b"theirs"


@pytest.mark.parametrize("options", [{"create": False}, {"readonly": True}, {"readonly": True, "create": True}])
@pytest.mark.parametrize("there", [False, True])
def test_nothing_is_made_unless_wanted(folder: Path, options: dict[str, bool], there: bool) -> None:
    """Without leave to make it, a store that is not there is FileNotFoundError, and nothing is left."""
    if there:
        folder.mkdir()
    with pytest.raises(FileNotFoundError, match="store"):
        DiskDict(folder, **options)

    assert folder.exists() is there
    assert not there or not list(folder.iterdir())


def test_create_false_opens_what_is_there(opened: Open) -> None:
    """It says only that nothing is to be made."""
    opened().close()

    with opened(create=False) as d:
        d["k"] = 1
        assert d == {"k": 1}


@pytest.mark.parametrize(
    "content",
    [{"notes.txt": "x"}, {"data/3f/k": "x"}, {"index": "x"}, {"tmp/x": ""}, {"journal": "x"}, {".git/HEAD": "x"}],
    ids=lambda content: next(iter(content)),
)
@pytest.mark.parametrize("create", [True, False])
def test_folder_of_somebody_else_is_refused(folder: Path, content: dict[str, str], create: bool) -> None:
    """Whatever is in a folder that is no store stays as it is, and the message names it."""
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    before = tree(folder)
    with pytest.raises(FormatError, match="no store and not empty") as caught:
        DiskDict(folder, create=create)

    assert next(iter(content)).split("/")[0] in str(caught.value)
    assert str(folder) in str(caught.value)
    assert tree(folder) == before


def test_own_names_without_content_count_as_empty(folder: Path) -> None:
    """What a creation that was interrupted leaves is no obstacle."""
    for name in ("data", "tmp", "quarantine"):
        (folder / name).mkdir(parents=True)
    for name in ("lock", "index", "journal"):
        (folder / name).touch()
    (folder / "lock").write_bytes(b"half a pa")
    (folder / "diskdict.json.new").write_bytes(b'{"form')

    with DiskDict(folder) as d:
        d["k"] = 1
    with DiskDict(folder) as d:
        assert d == {"k": 1}


# ---- what it was made as


def test_another_codec_is_refused(opened: Open) -> None:
    """Values of one codec are not read by another; the message names both."""
    opened(codec="raw").close()

    with pytest.raises(FormatError, match=r"codec 'raw'.*'json'"):
        opened()
    with opened(codec="raw") as d:
        d["k"] = b"1"


def test_folder_cannot_switch_pickle_on(opened: Open, folder: Path) -> None:
    """That reading runs code is the caller's choice alone."""
    opened(codec="pickle").close()

    with pytest.raises(FormatError, match=r"'pickle'.*'json'"):
        opened()


def test_another_number_of_shards_is_refused(opened: Open) -> None:
    """A number that is given has to be that of the folder; none given takes what is there."""
    opened(shards=16).close()

    with pytest.raises(FormatError, match=r"shards '16'.*'256'"):
        opened(shards=256)
    with opened() as d:
        d["k"] = 1
        assert d.path_for("k") == value_at(d.path, "k", 16)


def test_store_of_another_kind_is_refused(opened: Open, folder: Path) -> None:
    """A folder that was made for something else is not a dict."""
    FolderStore(str(folder), kind="queue").close()

    with pytest.raises(FormatError, match=r"'queue'.*'dict'"):
        opened()


def test_refused_folder_is_not_locked(opened: Open) -> None:
    """After a refusal the folder can be opened rightly."""
    opened(codec="raw").close()
    with suppress(FormatError):
        opened()

    opened(codec="raw").close()


class Shouting:
    """A codec of a user."""

    name = "shouting"

    def dumps(self, value: object) -> bytes:
        return str(value).upper().encode()

    def loads(self, payload: bytes) -> object:
        return payload.decode()


def test_codec_of_the_user(opened: Open, folder: Path) -> None:
    """An object with a name, ``dumps`` and ``loads`` is a codec, and its name is kept."""
    with opened(codec=Shouting()) as d:
        d["k"] = "quiet"
    with opened(codec=Shouting()) as d:
        assert d["k"] == "QUIET"

    with pytest.raises(FormatError, match=r"'shouting'.*'json'"):
        opened()


@pytest.mark.parametrize("make", [DiskDict, lambda path, **options: DiskDict.fromkeys("ab", path=path, **options)])
def test_misspelt_option(make: Any, folder: Path) -> None:
    """An option that is none is a TypeError that names it; nothing is made."""
    with pytest.raises(TypeError, match="defualt_ttl"):
        make(folder, defualt_ttl=5)

    assert not folder.exists()


def test_options_have_names(folder: Path) -> None:
    """Only the path is positional."""
    with pytest.raises(TypeError):
        DiskDict(folder, "json")

    assert not folder.exists()


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"codec": "yaml"}, ValueError, "yaml"),
        ({"codec": 5}, TypeError, "codec"),
        ({"default_ttl": -1}, ValueError, "ttl"),
        ({"default_ttl": "5"}, ValueError, "ttl"),
        ({"durability": "later"}, ValueError, "durability is one of 'process', 'interval', 'full', not 'later'"),
        ({"durability": None}, ValueError, "durability"),
        ({"cleanup_interval": 0}, ValueError, "cleanup_interval"),
        ({"on_corrupt": "ignore"}, ValueError, "on_corrupt"),
        ({"timeout": -1}, ValueError, "timeout"),
        ({"shards": 100}, ValueError, "shards"),
        ({"perm": 0o1777}, ValueError, "perm"),
        ({"cache_bytes": "many"}, ValueError, "cache_bytes"),
        ({"lock": 5}, TypeError, "lock"),
        ({"limits": {"value_bytes": 5}}, TypeError, "limits"),
    ],
    ids=lambda part: str(part) if isinstance(part, dict) else "",
)
def test_bad_option(folder: Path, options: dict[str, Any], error: type[Exception], match: str) -> None:
    """A bad option is refused by its name before anything is made."""
    with pytest.raises(error, match=match):
        DiskDict(folder, **options)

    assert not folder.exists()


# ---- limits


def test_limits_stay_with_the_folder(opened: Open) -> None:
    """Who opens without limits has those that were set; who gives limits sets them anew."""
    opened(limits=Limits(key_chars=5, value_bytes=10, json_object_only=True)).close()
    with opened() as d:
        for key, value, error in (
            ("toolong", {}, LimitError),
            ("k", {"a": "x" * 10}, LimitError),
            ("k", [], TypeError),
        ):
            with pytest.raises(error):
                d[key] = value
        assert d == {}
    opened(limits=Limits(key_chars=100)).close()

    with opened() as d:
        d["toolong"] = "x" * 100
        with pytest.raises(LimitError) as caught:
            d["k" * 101] = 1
    assert (caught.value.limit, caught.value.allowed, caught.value.met) == ("key_chars", 100, 101)


def test_limits_can_be_lifted(opened: Open) -> None:
    """Limits that limit nothing are limits too."""
    opened(limits=Limits(value_bytes=10)).close()
    opened(limits=Limits()).close()

    with opened() as d:
        d["k"] = "x" * 100


def test_readonly_handle_sets_no_limits(opened: Open) -> None:
    """What a reader thinks of limits is not written down."""
    with opened(limits=Limits(value_bytes=10)) as d:
        before = tree(d.path)
    opened(readonly=True, limits=Limits(value_bytes=99)).close()

    assert tree(d.path)["diskdict.json"] == before["diskdict.json"]


def test_total_bytes_is_met_by_all_pairs(opened: Open) -> None:
    """Of several keys none is stored where they do not all fit."""
    d = opened(limits=Limits(total_bytes=10))
    with pytest.raises(LimitError) as caught:
        d.set_many({"a": "xx", "b": "xx", "c": "xx"})

    assert caught.value.met == 12
    assert d == {}


def test_refusal_comes_before_the_disk(opened: Open, folder: Path) -> None:
    """Keys and values that are refused leave the folder as it was, to the byte."""
    d = opened(limits=Limits(key_chars=5, value_bytes=10))
    d["k"] = 1
    before = tree(folder)
    for key, value in ((object(), 1), ("k", object()), ("toolong", 1), ("k", "x" * 100), (float("nan"), 1)):
        with pytest.raises((TypeError, ValueError)):
            d[key] = value

    assert tree(folder) == before


# ---- values and keys across handles


KEYS: list[Any] = [
    True, -0.0, 2.0, 1.5, None, b"\xff", (), (True, (2.0, "x")), 10**40, "", "=x", "A", "a", "\ud800", "k" * 400,
    float("inf"), "a/b", "..", ("é" * 200,),
]  # fmt: skip


@pytest.mark.parametrize("indexed", [True, False])
def test_keys_keep_their_spelling(opened: Open, folder: Path, indexed: bool) -> None:
    """Keys of every type come back as they were first given, in order, from the index and from the files."""
    with opened() as d:
        for number, key in enumerate(KEYS):
            d[key] = number
        d[1] = "the same key"
    if not indexed:
        (folder / "index").unlink()
    with opened() as d:
        keys = list(d)

        assert [(type(key), repr(key)) for key in keys] == [(type(key), repr(key)) for key in KEYS]
        assert d[True] == d[1] == d[1.0] == "the same key"
        assert d == dict(zip(KEYS, ["the same key", *range(1, len(KEYS))], strict=True))


def test_attributes_of_keys_survive(opened: Open, clock) -> None:
    """Time-to-live, metadata and version are the same in the next process."""
    with opened() as d:
        d.set("k", 1, ttl=50, metadata={"a": (1, 2)})
        before = d.info("k")
    clock.tick(20)
    with opened() as d:
        assert d.info("k") == before
        assert d.ttl("k") == 30
        clock.tick(30)
        assert "k" not in d


def test_default_ttl_is_of_the_handle(opened: Open, clock) -> None:
    """It applies to what is stored through a handle, and not to what is there."""
    with opened() as d:
        d["old"] = 1
    with opened(default_ttl=5) as d:
        d["new"] = 1
        d.set("forever", 1, ttl=FOREVER)
        d.set("longer", 1, ttl=10)
        seen = d.ttl("old"), d.ttl("new"), d.ttl("forever"), d.ttl("longer")
        clock.tick(5)

        assert seen == (None, 5, None, 10)
        assert list(d) == ["old", "forever", "longer"]


def test_ttl_beyond_all_floats(opened: Open) -> None:
    """A number of seconds that no float holds is refused as a bad ttl, with what to use instead."""
    d = opened()
    with pytest.raises(ValueError, match="FOREVER"):
        d.set("k", 1, ttl=10**400)

    assert d == {}


def test_writeback_is_stored_at_close(opened: Open) -> None:
    """What was changed in place is there in the next process; without writeback it is not."""
    with opened(writeback=True) as d:
        d["k"] = [1]
        d["k"].append(2)
    with opened() as d:
        d["k"].append(3)
    with opened() as d:
        assert d == {"k": [1, 2]}


def test_writeback_shows_on_disk_when_flushed(opened: Open) -> None:
    """`flush` and questions about the file store what has changed."""
    d = opened(writeback=True)
    d["k"] = [1]
    d["k"].append(2)
    asked = d.path_for("k").read_bytes()
    d["k"].append(3)
    d.flush()

    assert asked == b"[1,2]"
    assert d.path_for("k").read_bytes() == b"[1,2,3]"


def test_value_that_another_program_wrote(opened: Open, folder: Path) -> None:
    """While it is closed, a file is changed with any editor."""
    with opened() as d:
        d["settings"] = {"a": 1}
        path = d.path_for("settings")
    path.write_text('{\n  "a": 2,\n  "b": [true, null]\n}\n')
    with opened() as d:
        assert d["settings"] == {"a": 2, "b": [True, None]}

        d.append("list", [1])
        assert list(d) == ["settings", "list"]


def test_file_that_is_no_value(opened: Open) -> None:
    """Text that is not JSON is damage with a name, and `verify` finds it."""
    with opened() as d:
        d["k"], d["l"] = 1, 2
        d.path_for("k").write_text("{oops")
    with opened() as d:
        with pytest.raises(CorruptValueError) as caught:
            d["k"]
        assert (caught.value.key, caught.value.path) == ("k", str(d.path_for("k")))
        assert d["l"] == 2
        assert [problem.path for problem in d.verify().problems] == [str(d.path_for("k").relative_to(d.path))]


# ---- files


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ({"a": 1}, b'{"a":1}'),
        ("text", b'"text"'),
        (b"\x89PNG\r\n", b"\x89PNG\r\n"),
        (b"{", b"\x1b{"),
        ((1, 2), b'{"$tuple":[1,2]}'),
        (None, b"null"),
    ],
)
def test_path_for_names_the_file(opened: Open, value: Any, content: bytes) -> None:
    """It holds the value's bytes and nothing else."""
    d = opened()
    d["k"] = value

    assert d.path_for("k").read_bytes() == content
    assert d.path_for("k") == value_at(d.path, "k")


def test_path_for_of_a_key_that_is_not_there(opened: Open, clock) -> None:
    """There is no file to name."""
    d = opened()
    d.set("k", 1, ttl=5)
    clock.tick(5)
    for key in ("k", "missing", object()):
        with pytest.raises(KeyError):
            d.path_for(key)


def test_path_for_of_strange_keys(opened: Open) -> None:
    """Every key has a file inside the folder, whatever it is made of."""
    d = opened()
    for key in KEYS:
        d[key] = repr(key)
        path = d.path_for(key)
        assert path.resolve().parent.parent == d.path.resolve() / "data"
        assert d.path_for(key).is_file()

    assert len({str(d.path_for(key)).lower() for key in KEYS}) == len(KEYS)


def test_stats_count(opened: Open, clock) -> None:
    """Numbers are those of the folder."""
    d = opened()
    d["a"], d["b"] = "12345", b"\x89" * 10_000
    d.set("dies", [1], ttl=5)
    d["k" * 300] = 1
    clock.tick(5)
    stats = d.stats()
    files = [path for path in d.path.rglob("*") if path.is_file()]

    assert (stats.keys, stats.expired) == (3, 1)
    assert stats.payload_bytes == 7 + 10_000 + 3 + 1
    assert stats.shards == len(list((d.path / "data").iterdir()))
    assert stats.inodes == 1 + len(list(d.path.rglob("*")))
    values = [path for path in files if path.parent.parent.name == "data"]
    assert stats.disk_bytes == sum(path.stat().st_blocks * 512 for path in values)


def test_stats_name_the_home_of_attributes(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says where expiry and order are kept on this filesystem."""
    with opened() as d:
        first = d.stats().attributes
    use_sidecars(monkeypatch)
    with opened() as d:
        second = d.stats().attributes

    assert first in ("xattr", "sidecar")
    assert second == "sidecar"


def test_stats_see_what_writeback_holds(opened: Open) -> None:
    """Sizes are those of values as they are now."""
    d = opened(writeback=True)
    d["k"] = []
    d["k"].extend("abc")

    assert d.stats().payload_bytes == len('["a","b","c"]')


# ---- making


def test_fromkeys(folder: Path) -> None:
    """Keys in order, one value, and the options of the class."""
    with DiskDict.fromkeys(["b", "a", "b", 1], [0], path=folder, shards=16) as d:
        assert list(d.items()) == [("b", [0]), ("a", [0]), (1, [0])]
    with DiskDict.fromkeys("c", path=folder) as d:
        assert d == {"b": [0], "a": [0], 1: [0], "c": None}
        assert d.path_for("c") == value_at(folder, "c", 16)


def test_fromkeys_without_a_path(home: Path) -> None:
    """As for the class, a fresh folder is made."""
    with DiskDict.fromkeys("ab", 0) as d:
        assert d == {"a": 0, "b": 0}
        assert d.path.is_relative_to(home)


def test_fromkeys_that_fails_leaves_nothing_open(folder: Path) -> None:
    """A key or a value that is refused frees the folder."""
    with pytest.raises(TypeError):
        DiskDict.fromkeys([[]], path=folder)
    with pytest.raises(InvalidValueError):
        DiskDict.fromkeys("ab", object(), path=folder)

    with DiskDict(folder) as d:
        assert d == {}


def test_open_dict_in_memory() -> None:
    """The same mapping without a disk, a fresh one each time."""
    with open_dict("memory:", default_ttl=5, limits=Limits(key_chars=3)) as first, open_dict("memory:") as second:
        first["k"] = (1, 2)

        assert isinstance(first._store.base, MemoryStore)
        assert first["k"] == (1, 2)
        assert first.ttl("k") is not None
        assert second == {}
        with pytest.raises(LimitError):
            first["long"] = 1


@pytest.mark.parametrize(
    "url", ["{path}", "file://{path}", "file:{path}", "file://localhost{path}", "{uri}"], ids=lambda url: url
)
def test_open_dict_in_a_folder(tmp_path: Path, url: str) -> None:
    """A path and every form of file: URL name the folder."""
    folder = tmp_path / "some store"
    with open_dict(url.format(path=folder, uri=folder.as_uri()), codec="raw") as d:
        d["k"] = b"1"

        assert isinstance(d, DiskDict)
        assert d.path == folder
    with DiskDict(folder, codec="raw") as d:
        assert d == {"k": b"1"}


@pytest.mark.parametrize("url", ["mongo://localhost", "ftp://x/y", "file://server/share", "memory:/x"])
def test_open_dict_of_what_nobody_knows(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown scheme is no name of a folder; the message has the URL."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=url.split("/")[0]):
        open_dict(url)

    assert not list(tmp_path.iterdir())


def test_open_dict_with_the_tilde(home: Path) -> None:
    """The home is the home in a plain path."""
    with open_dict("~/store") as d:
        d["k"] = 1

    assert value_at(home / "store", "k").exists()


# ---- durability, threads, ends


def test_full_durability(opened: Open) -> None:
    """Everything works as without it, new shards and long keys included."""
    with opened(durability="full") as d:
        d.update({"a": 1, "k" * 300: 2})
        d.increment("a")
        d.expire("a", 5)
        d.rename("a", "b")
        del d["k" * 300]
        kill(d)
    with opened() as d:
        assert d == {"b": 2}
        assert d.ttl("b") == 5


def cleaners() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "diskdict-cleanup"]


def test_cleanup_thread_removes_files(opened: Open, clock) -> None:
    """Expired keys leave the disk by themselves, and the thread ends with the handle."""
    d = opened(cleanup_interval=0.002)
    threads = cleaners()
    d.set("k", 1, ttl=5)
    path = d.path_for("k")
    clock.tick(5)
    wait_until(lambda: not path.exists())
    d.close()

    assert len(threads) == 1
    assert cleaners() == []


def test_readonly_handle_has_no_cleanup_thread(opened: Open) -> None:
    """It could remove nothing."""
    opened().close()
    opened(readonly=True, cleanup_interval=0.002)

    assert cleaners() == []


def test_refused_opening_leaves_no_thread(opened: Open) -> None:
    """A folder that is in use is refused before a thread starts."""
    opened()
    with pytest.raises(StoreLockedError):
        opened(cleanup_interval=0.002)

    assert cleaners() == []


@pytest.mark.parametrize("options", [{}, {"cleanup_interval": 3600}], ids=["alone", "with a thread"])
def test_collected_handle_is_closed(folder: Path, options: dict[str, Any]) -> None:
    """A handle that nobody holds any longer frees its folder, and says that it was not closed."""
    d: Dict = DiskDict(folder, **options)
    d["k"] = 1
    held = [d]
    del d
    with pytest.warns(ResourceWarning, match=f"{folder} was not closed"):
        drop(held)
    wait_until(lambda: not cleaners())

    with DiskDict(folder) as d:
        assert d == {"k": 1}
        assert d.verify().ok


def test_handle_that_is_open_at_the_end_of_the_program(folder: Path) -> None:
    """It is closed then, cleanly and without a word, whatever writeback holds included."""
    script = f"import diskdict; d = diskdict.DiskDict({str(folder)!r}, writeback=True); d['k'] = [1]; d['k'].append(2)"
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads((folder / "lock").read_bytes())["clean"] is True
    with DiskDict(folder) as d:
        assert d == {"k": [1, 2]}


def drop(held: list[Dict]) -> None:
    """Let go of handles, those in circles included."""
    held.clear()
    gc.collect()


def test_clean_end_is_told_from_an_unclean_one(opened: Open, folder: Path) -> None:
    """Only after a killed process every read is checked."""
    for end, expected in ((lambda d: d.close(), "edited"), (kill, "torn")):
        with opened() as d:
            d["k"] = "0123456789"
            end(d)
        value_at(folder, "k").write_bytes(b'"edited"')
        with opened() as d:
            assert [problem.problem for problem in d.verify().problems] == [expected]
            d.repair()


def test_closed_handle_names_its_folder(opened: Open, folder: Path) -> None:
    """The message says what is closed; closing again does nothing."""
    d = opened()
    d.close()
    d.close()
    for use in (d.verify, d.repair, d.stats, d.flush, lambda: d["k"], lambda: d.path_for("k")):
        if use == d.flush:
            use()
            continue
        with pytest.raises(ClosedError, match=str(folder)):
            use()

    assert d.path == folder


def test_readonly_handle(opened: Open, folder: Path) -> None:
    """It reads everything, beside others, and refuses every change by name."""
    with opened() as d:
        d.set("k", [1], metadata={"a": 1})
        d["n"] = 1
    before = tree(folder)
    with opened(readonly=True) as d, opened(readonly=True) as other:
        seen = dict(d), d.info("k").metadata["a"], d.stats().keys, d.verify().ok
        changes: list[Callable[[], object]] = [
            lambda: d.__setitem__("k", 1),
            lambda: d.__delitem__("k"),
            lambda: d.increment("n"),
            lambda: d.expire("k", 5),
            lambda: d.set_metadata("k", {}),
            lambda: d.rename("k", "l"),
            lambda: d.pop("k"),
            lambda: d.set_many({"a": 1}),
            lambda: d.setdefault("new", 1),
            d.popitem,
            d.clear,
            d.cleanup_expired,
            d.repair,
        ]
        for change in changes:
            with pytest.raises(ReadOnlyError, match="readonly=True"):
                change()

        assert dict(other) == {"k": [1], "n": 1}
    assert seen == ({"k": [1], "n": 1}, 1, 2, True)
    assert tree(folder) == before


# ---- pickling


def test_pickle_in_the_same_process_is_the_same_handle(opened: Open) -> None:
    """What is open here is not opened twice."""
    d = opened()
    d["k"] = 1

    assert pickle.loads(pickle.dumps(d)) is d


def test_pickle_opens_when_first_used(folder: Path) -> None:
    """A handle that travelled opens its folder, with its options, when somebody asks it something."""
    with DiskDict(folder, default_ttl=50, writeback=True) as d:
        d["k"] = [1]
        travelled = pickle.dumps(d)
    copy = pickle.loads(travelled)
    unused = pickle.loads(travelled)
    with DiskDict(folder):
        pass  # the copies do not hold the folder yet
    copy["k"].append(2)
    copy["new"] = 1

    assert copy == {"k": [1, 2], "new": 1}
    assert copy.ttl("new") == pytest.approx(50, abs=5)
    assert copy.path == folder
    with pytest.raises(StoreLockedError):
        unused["k"]
    copy.close()
    assert unused["k"] == [1, 2]
    unused.close()


@pytest.mark.parametrize(
    "use",
    [
        lambda d: d["k"], lambda d: d.get("k"), len, list, lambda d: "k" in d, repr, dict, bool,
        lambda d: d == {"k": 1}, lambda d: d | {}, lambda d: d.path, lambda d: d.verify(), lambda d: d.stats(),
        lambda d: list(reversed(d)), lambda d: d.__enter__(), lambda d: d.flush(), lambda d: d.keys(),
    ],
)  # fmt: skip
def test_pickled_handle_opens_for_every_use(folder: Path, use: Callable[[Dict], object]) -> None:
    """Whatever is asked first finds an open store or what it needs without one."""
    with DiskDict(folder) as d:
        d["k"] = 1
        travelled = pickle.dumps(d)
    copy = pickle.loads(travelled)
    use(copy)

    assert copy["k"] == 1
    copy.close()


def test_pickled_handle_that_was_never_used(folder: Path) -> None:
    """Closing it, or dropping it, opens nothing."""
    with DiskDict(folder) as d:
        travelled = pickle.dumps(d)
    with DiskDict(folder):
        pickle.loads(travelled).close()
        del d
        gc.collect()


def test_pickled_handle_of_a_folder_that_is_gone(folder: Path, tmp_path: Path) -> None:
    """It says so when it is used, and again when it is used again."""
    with DiskDict(folder) as d:
        travelled = pickle.dumps(d)
    folder.rename(tmp_path / "elsewhere")
    copy = pickle.loads(travelled)
    folder.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(OSError, match="store"):
            copy["k"]
    folder.unlink()
    (tmp_path / "elsewhere").rename(folder)

    assert dict(copy) == {}
    copy.close()


# ---- as the bytes are


def test_checksum_and_size_are_those_of_the_file(opened: Open) -> None:
    """What `info` says can be checked with other tools."""
    d = opened()
    d["k"] = {"a": [1, 2, 3]}
    content = d.path_for("k").read_bytes()

    assert d.info("k").size == len(content)
    assert d.info("k").checksum == f"crc32:{zlib.crc32(content):08x}"


def test_many_keys_in_few_shards(opened: Open) -> None:
    """Keys that share a folder do not meet."""
    with opened(shards=1) as d:
        d.update((f"{a}{b}", [a, b]) for a, b in itertools.product("aAbB./", repeat=2))
    with opened() as d:
        assert d == {f"{a}{b}": [a, b] for a, b in itertools.product("aAbB./", repeat=2)}
        assert len(os.listdir(d.path / "data" / "0")) == 36

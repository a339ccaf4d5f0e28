"""The command's export, import and migrate: what is carried, from where, and what a stop on the way leaves."""

from __future__ import annotations

import json
import math
import os
import pickle
import shelve
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from diskcache import Cache
from iodict import IODict
from shell import Said, run, run_here, start
from sqlitedict import SqliteDict

from diskdict import DiskDict, Entry, Limits
from diskdict.cli import lines

Dict = DiskDict[object, object]

HEADER = '{"format":"diskdict-lines","version":1,"keys":2}\n'


@pytest.fixture
def filled(folder: Path) -> Path:
    with Dict(folder) as d:
        d.restore([Entry("old", {"n": 1}, created_at=1000.5)])
        d[True, b"\xff"], d["=x"], d["raw"], d["\ud800"] = (1, {2}), math.inf, b"\x00", {"$tuple": "\ud800"}
        d.set("short", "naïve\n", ttl=1000, metadata={"m": (1,)})
    return folder


def entries(folder: Path) -> list[Entry[object, object]]:
    with Dict(folder, readonly=True) as d:
        return list(d.entries())


def lines_of(*found: Entry[object, object]) -> bytes:
    return (HEADER + "".join(f"{lines.line_of(entry)}\n" for entry in found)).encode()


def imported(source: Path | str, store: Path, *options: str, stdin: bytes = b"") -> Said:
    said = run_here("import", source, *options, "--json", store=store, stdin=stdin)
    assert said.err.count("\n") == (said.code != 0)
    return said


# ---- JSON lines


def test_export_and_import_carry_all_that_belongs_to_a_key(filled: Path, tmp_path: Path) -> None:
    """Through a pipe and through a file, values, keys, expiry, metadata, creation and order are those of before."""
    file = tmp_path / "file"

    assert run_here("export", file, store=filled) == (0, b"", "")
    piped = run("export", store=filled)
    assert file.read_bytes() == piped.out
    assert json.loads(imported(file, tmp_path / "a").out) == {"stored": 6, "skipped": 0, "expired": 0}
    assert run("import", store=tmp_path / "b", stdin=piped.out).code == 0
    assert entries(tmp_path / "a") == entries(tmp_path / "b") == entries(filled)
    assert repr(entries(tmp_path / "a")) == repr(entries(filled))


def test_an_export_says_what_it_is_and_is_private(filled: Path, tmp_path: Path) -> None:
    """Its first line has format and version; nobody else may read it; one that fails leaves what was there."""
    file = tmp_path / "file"
    run_here("export", file, store=filled)

    first = json.loads(file.read_text().splitlines()[0])
    assert first == {"format": "diskdict-lines", "version": 1, "keys": 6}
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    with Dict(filled) as d:
        d.path_for("short").write_bytes(b"")
    assert run_here("export", file, store=filled).code == 4
    assert file.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["file", "store"]


@pytest.mark.parametrize(
    ("mode", "code", "values"), [("overwrite", 0, [1, 2]), ("skip", 0, ["old", 2]), ("fail", 1, ["old"])]
)
def test_on_conflict(mode: str, code: int, values: list[object], folder: Path) -> None:
    """Keys that are there are overwritten, left, or end it before their chunk is stored."""
    with Dict(folder) as d:
        d["a"] = "old"

    said = imported("-", folder, "--on-conflict", mode, stdin=lines_of(Entry("a", 1), Entry("b", 2)))

    assert said.code == code
    assert [entry.value for entry in entries(folder)] == values
    assert (said.err == "diskdict: key 'a' exists already; line 2\n") == bool(code)


def test_what_has_expired_meanwhile_is_not_stored(folder: Path) -> None:
    """It is counted, and the same key here is left as it is."""
    with Dict(folder) as d:
        d["a"] = "here"

    said = imported("-", folder, stdin=lines_of(Entry("a", 1, expires_at=5.0)))

    assert json.loads(said.out) == {"stored": 0, "skipped": 0, "expired": 1}
    assert [entry.value for entry in entries(folder)] == ["here"]


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (b'{"key": "b", "value": 2', "line 3, column 24"),
        (b'{"key": "b"}', "line 3"),
        (b'{"key": "b", "value": 1, "more": 2}', "line 3"),
        (b'{"key": 7, "value": 1}', "line 3"),
        (b'{"key": "=nonsense", "value": 1}', "line 3"),
        (b'{"key": "b", "value": 1, "expires_at": "soon"}', "line 3"),
        (b'{"key": "b", "value": 1, "created_at": -1}', "line 3"),
        (b'{"key": "b", "value": 1, "metadata": [1]}', "line 3"),
        (b'{"key": "b", "value": {"$tuple": 1}}', "line 3"),
        (b'{"key": "b", "value": "\xff"}', "line 3, byte 24"),
        (b'{"key": "b", "value": "' + b"x" * 200 + b'"}', "line 3"),
        (b"[]", "line 3"),
        (b"{" * 100_000, "line 3"),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_its_chunk_is_not_stored(bad: bytes, told: str, folder: Path) -> None:
    """Not even the good lines of it."""
    with Dict(folder, limits=Limits(value_bytes=100)):
        pass

    said = imported("-", folder, stdin=lines_of(Entry("k", 1)) + bad + b"\n")

    assert (said.code, told in said.err) == (2, True)
    assert entries(folder) == []


def test_the_chunks_before_a_bad_line_are_stored(folder: Path) -> None:
    """The line is counted from the first of all."""
    many = lines_of(*(Entry(f"k{number}", number) for number in range(1001)))

    said = imported("-", folder, stdin=many + b"[]\n")

    assert (said.code, "line 1003" in said.err) == (2, True)
    assert len(entries(folder)) == 1000


@pytest.mark.parametrize("first", [b"", b"\n", b"hello", b"{}", b"\xff", HEADER.replace("1", "2", 1).encode()])
def test_what_is_no_export_is_refused_and_no_store_is_made(first: bytes, folder: Path, tmp_path: Path) -> None:
    """From stdin and from a file; a missing file, too."""
    file = tmp_path / "file"
    file.write_bytes(first + b"\n")

    for said in (imported("-", folder, stdin=first), imported(file, folder), imported(tmp_path / "none", folder)):
        assert said.code == 2
    assert not folder.exists()


def many_lines(tmp_path: Path, count: int) -> Path:
    file = tmp_path / "many"
    with file.open("w") as out:
        out.write(HEADER)
        for number in range(count):
            out.write(f'{{"key":"k{number}","value":{number},"expires_at":99999999999.5,"created_at":{number}.5}}\n')
    return file


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_import_that_is_stopped_is_completed_by_the_next(how: signal.Signals, folder: Path, tmp_path: Path) -> None:
    """It leaves whole chunks in a store that opens and is sound, and the next run makes all of it, in order."""
    file = many_lines(tmp_path, 10_000)

    with start("import", file, store=folder, stderr=subprocess.PIPE) as child:
        data = folder / "data"
        while not data.exists() or len(list(data.iterdir())) < 200:
            assert child.poll() is None
            time.sleep(0.01)
        child.send_signal(how)
        err = child.communicate(timeout=60)[1]

    assert (child.returncode, err) in [(130, b"diskdict: interrupted\n"), (-signal.SIGKILL, b"")]
    stored = entries(folder)
    assert 0 < len(stored) < 10_000
    assert len(stored) % 1000 == 0
    assert run_here("verify", store=folder).code == 0
    assert imported(file, folder).code == 0
    assert [(entry.key, entry.value, entry.expires_at, entry.created_at) for entry in entries(folder)] == [
        (f"k{number}", number, 99999999999.5, number + 0.5) for number in range(10_000)
    ]


# ---- the stores of others


class Trap:
    """Its pickle makes a folder where it is read."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.path,)


def iodict(path: Path, values: dict[str, object]) -> Path:
    store = IODict(str(path))
    store.update(values)
    return path


def shelf(path: Path, values: dict[str, object]) -> Path:
    with shelve.open(path) as store:
        store.update(values)
    return path


def sqlitedict(path: Path, values: dict[str, object]) -> Path:
    with SqliteDict(path, autocommit=True) as store:
        store.update(values)
    return path


def diskcache(path: Path, values: dict[str, object]) -> Path:
    with Cache(path) as store:
        for key, value in values.items():
            store[key] = value
    return path


FOREIGN = {"iodict": iodict, "shelve": shelf, "sqlitedict": sqlitedict, "diskcache": diskcache}
each_kind = pytest.mark.parametrize("kind", FOREIGN)


@each_kind
def test_foreign_stores_are_read_and_told_apart(
    kind: str, folder: Path, tmp_path: Path, needs_attributes: None
) -> None:
    """With --allow-pickle every value comes, whether the kind is named or found by looking."""
    values = {"a": {"n": [1, (2, None)]}, "b/é": "x" * 100_000, "c": b"\xff" * 100_000, "d": 2.5}
    source = FOREIGN[kind](tmp_path / "theirs", values)

    assert imported(source, folder, "--allow-pickle").code == 0
    assert {entry.key: entry.value for entry in entries(folder)} == values
    assert imported(source, tmp_path / "named", "--allow-pickle", "--from", kind).code == 0
    assert len(entries(tmp_path / "named")) == 4


@each_kind
def test_no_pickle_is_read_unless_that_was_asked_for(
    kind: str, folder: Path, tmp_path: Path, needs_attributes: None
) -> None:
    """The error names the option, and what the pickle would have done has not happened."""
    sprung = tmp_path / "sprung"
    source = FOREIGN[kind](tmp_path / "theirs", {"trap": Trap(sprung)})

    said = imported(source, folder)

    assert (said.code, "--allow-pickle" in said.err) == (2, True)
    assert not sprung.exists()
    assert imported(source, folder, "--allow-pickle").code == 0
    assert sprung.exists()


def test_diskcache_keeps_expiry_creation_and_tag(folder: Path, tmp_path: Path) -> None:
    """Keys of several types and values in rows and in files; without pickles the rest is taken all the same."""
    with Cache(tmp_path / "theirs") as cache:
        cache.set("short", "x", expire=1000, tag="t")
        cache[7], cache[2.5], cache[b"by"] = 1, "y" * 100_000, b"z" * 100_000
        cache[1, 2], cache["list"], cache["long"] = "pickled key", [1], ["x" * 100_000]
        cache.set("over", "x", expire=1e-9)
        born = cache._sql("SELECT store_time, expire_time FROM Cache WHERE key = 'short'").fetchone()

    said = imported(tmp_path / "theirs", folder)

    assert (said.code, "3 pickles" in said.err) == (2, True)
    assert json.loads(said.out) == {"stored": 4, "skipped": 0, "expired": 1}
    first, *rest = entries(folder)
    assert first == Entry("short", "x", born[1], born[0], {"tag": "t"})
    assert [(entry.key, len(str(entry.value))) for entry in rest] == [(7, 1), (2.5, 100_000), (b"by", 100_003)]
    assert imported(tmp_path / "theirs", folder, "--allow-pickle", "--on-conflict", "skip").code == 0
    assert {entry.key: entry.value for entry in entries(folder)[4:]} == {
        (1, 2): "pickled key",
        "list": [1],
        "long": ["x" * 100_000],
    }


def test_a_diskcache_cannot_name_files_outside_of_itself(folder: Path, tmp_path: Path) -> None:
    """A database that says so is refused."""
    (tmp_path / "secret").write_text("secret")
    with Cache(tmp_path / "theirs") as cache:
        cache["a"] = "x" * 100_000
        cache._sql("UPDATE Cache SET filename = '../secret'")

    assert imported(tmp_path / "theirs", folder).code == 2
    assert entries(folder) == []


def test_sqlitedict_with_json_needs_no_pickle(folder: Path, tmp_path: Path) -> None:
    """Text is JSON, or a str where it is none; blobs that are no pickle are bytes."""
    with SqliteDict(tmp_path / "theirs", autocommit=True, encode=json.dumps, decode=json.loads) as store:
        store["a"], store["b"] = {"n": [1]}, "text"
    with SqliteDict(tmp_path / "plain", autocommit=True, encode=lambda value: value) as store:
        store["c"], store["d"], store["e"] = "no JSON", sqlite3.Binary(b"blob"), 7

    assert imported(tmp_path / "theirs", folder).code == imported(tmp_path / "plain", folder).code == 0
    assert {entry.key: entry.value for entry in entries(folder)} == {
        "a": {"n": [1]},
        "b": "text",
        "c": "no JSON",
        "d": b"blob",
        "e": 7,
    }


def test_sqlitedict_is_read_from_the_table_there_is(folder: Path, tmp_path: Path) -> None:
    """Whatever its name; of several, from the one that sqlitedict takes by itself, or from none."""
    theirs = tmp_path / "theirs"
    for name, code in (('my "own"', 0), ("other", 2), ("unnamed", 0)):
        with SqliteDict(theirs, tablename=name.replace('"', '""'), autocommit=True, encode=json.dumps) as store:
            store[name] = 1
        assert imported(theirs, folder).code == code

    assert [entry.key for entry in entries(folder)] == ['my "own"', "unnamed"]


def test_iodict_keeps_the_time_of_creation_and_its_order(folder: Path, tmp_path: Path, needs_attributes: None) -> None:
    """From the attributes that it gives its files."""
    source = iodict(tmp_path / "theirs", {"b": 1, "a": 2})

    imported(source, folder, "--allow-pickle")

    found = entries(folder)
    assert [entry.key for entry in found] == ["b", "a"]
    assert all(time.time() - 100 < (entry.created_at or 0) < time.time() for entry in found)


@each_kind
def test_a_foreign_store_that_is_none_is_refused(kind: str, folder: Path, tmp_path: Path) -> None:
    """Missing, empty, or torn: exit code 2, one line, and no value."""
    torn = tmp_path / "torn"
    if kind in ("iodict", "diskcache"):
        torn.mkdir()
        (torn / "cache.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    else:
        torn.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)

    for path in (tmp_path / "none", torn):
        assert imported(path, folder, "--from", kind, "--allow-pickle").code == 2
    assert not folder.exists() or not entries(folder)


def test_a_value_that_json_cannot_keep_is_told_with_its_key(folder: Path, tmp_path: Path) -> None:
    """Nothing of its chunk is stored."""
    source = shelf(tmp_path / "theirs", {"a": 1, "complex": 1j})

    said = imported(source, folder, "--allow-pickle")

    assert (said.code, "'complex'" in said.err) == (2, True)
    assert entries(folder) == []


def test_folders_that_cannot_be_told_are_refused(filled: Path, tmp_path: Path) -> None:
    """A store of our own is for migrate; of any other folder one has to say what it is."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_bytes(pickle.dumps(1))

    assert "migrate" in imported(filled, tmp_path / "new").err
    assert "--from" in imported(tmp_path / "mine", tmp_path / "new", "--allow-pickle").err
    assert not (tmp_path / "new").exists()

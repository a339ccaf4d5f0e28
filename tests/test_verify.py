"""`verify` names every kind of damage and nothing else; `repair` sets it right without ever deleting."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from folders import beside, kill, names_in_shard, strip, tree, use_sidecars, value_at

from diskdict import CorruptValueError, DiskDict, Problem, ReadOnlyError, Report
from diskdict.layout import encode_name

Dict = DiskDict[Any, Any]
Open = Callable[..., Dict]
LONG = "long " * 100


@pytest.fixture(params=["attributes", "sidecars"])
def anywhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run once with attributes and once with sidecars."""
    if request.param == "sidecars":
        use_sidecars(monkeypatch)
    return request.param


@pytest.fixture
def opened(folder: Path, clock, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens the folder on the test's clock, and closes what was opened."""
    if "anywhere" in request.fixturenames:
        request.getfixturevalue("anywhere")  # before the first file is written
    made: list[Dict] = []

    def open_it(**options: Any) -> Dict:
        made.append(DiskDict(folder, **{"clock": clock} | options))
        return made[-1]

    yield open_it
    for d in made:
        d.close()


@pytest.fixture
def filled(opened: Open) -> Open:
    """Have the folder hold keys of all kinds, some with expiry and metadata, and be closed cleanly."""
    with opened() as d:
        d["a"] = "0123456789"
        d.set("b", [1, 2], ttl=50, metadata={"m": 1})
        d[True] = b"\x89PNG"
        d[LONG] = {"x": None}
        d["c"] = 3
        len(d)
        time.sleep(0.02)  # until the kernel's clock has ticked: so the snapshot counts
    return opened


@pytest.fixture
def unclean(opened: Open) -> Open:
    """Have the folder hold three keys, and be left by a process that was killed."""
    d = opened()
    for key in ("a", "b", "c"):
        d.set(key, "0123456789", ttl=50)
    kill(d)
    return opened


def faults(report: Report) -> dict[str, str]:
    """Return path and fault of each problem."""
    return {problem.path: problem.problem for problem in report.problems}


def where(name: str) -> str:
    """Return the path of a value as reports have it."""
    return str(value_at(Path(), name))


def lying_in(folder: Path, *parts: str) -> list[str]:
    """Return the names in a folder, none if it is not there."""
    place = folder.joinpath(*parts)
    return sorted(os.listdir(place)) if place.is_dir() else []


# ---- nothing wrong


def test_whole_store_is_ok(filled: Open, anywhere: str) -> None:
    """Every value is checked, and nothing is found."""
    with filled() as d:
        report = d.verify()

    assert report == Report(5, ())
    assert report.ok


LOOKS: dict[str, Callable[..., object]] = {
    "verify": lambda d, copy, progress: d.verify(progress=progress),
    "repair": lambda d, copy, progress: d.repair(progress=progress),
    "backup": lambda d, copy, progress: d.backup(copy, progress=progress),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_progress_is_told(filled: Open, tmp_path: Path, look: Callable[..., object]) -> None:
    """Who goes through all files tells after each subfolder how many are done, up to all of them."""
    seen: list[tuple[int, int]] = []
    with filled() as d:
        shards = d.stats().shards
        look(d, tmp_path / "copy", lambda *told: seen.append(told))

        assert seen == [(done, shards) for done in range(1, shards + 1)]


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_progress_can_end_it(filled: Open, tmp_path: Path, look: Callable[..., object]) -> None:
    """What is raised by it ends the look and harms nothing; a copy that was begun is no store."""

    def enough(done: int, total: int) -> None:
        raise InterruptedError(done)

    with filled() as d:
        before = dict(d)
        with pytest.raises(InterruptedError):
            look(d, tmp_path / "copy", enough)
        assert dict(d) == before
        assert not (tmp_path / "copy" / "data").exists()
        d["after"] = 1


def test_whole_store_after_an_unclean_end_is_ok(unclean: Open, anywhere: str) -> None:
    """A killed process leaves nothing to repair."""
    with unclean() as d:
        assert d.verify() == Report(3, ())
        assert d.repair() == Report(3, ())


def test_verify_changes_no_file(filled: Open, folder: Path, anywhere: str) -> None:
    """Looking is only looking, whatever is found."""
    value_at(folder, "a").write_bytes(b'"edited"')
    (folder / "data" / "foreign").write_bytes(b"x")
    before = tree(folder)
    with filled() as d:
        d.verify()
        during = tree(folder)
    for each in (before, during):
        del each["lock"]

    assert during == before


def test_verify_of_what_expired(opened: Open, clock, anywhere: str) -> None:
    """Expired values are checked as long as they are there, and are no problem."""
    d = opened()
    d.set("k", 1, ttl=5)
    clock.tick(5)

    assert d.verify() == Report(1, ())


def test_verify_of_an_empty_store(opened: Open) -> None:
    """There is nothing to check."""
    d = opened()

    assert d.verify() == Report(0, ())
    assert d.repair() == Report(0, ())


def test_verify_sees_what_writeback_holds(opened: Open) -> None:
    """What is to be checked is on disk first."""
    d = opened(writeback=True)
    d["k"] = []
    d["k"].append(1)

    assert d.verify().ok
    assert d.path_for("k").read_bytes() == b"[1]"


# ---- torn


TEARS: list[Callable[[Path], object]] = [
    lambda path: os.truncate(path, 5),
    lambda path: os.truncate(path, 0),
    lambda path: path.write_bytes(b'"0123456780"'),
    lambda path: path.write_bytes(b"\0" * 12),
    lambda path: path.write_bytes(b'"0123456789"\n'),
]


@pytest.mark.parametrize("tear", TEARS, ids=["half", "empty", "one byte", "zeros", "longer"])
def test_torn_value(unclean: Open, folder: Path, tear: Callable[[Path], object], anywhere: str) -> None:
    """After an unclean end it is torn; reading it is an error until it was set aside, and other keys are read."""
    tear(value_at(folder, "b"))
    content = value_at(folder, "b").read_bytes()
    with unclean() as d:
        report = d.verify()
        with pytest.raises(CorruptValueError):
            d["b"]
        healthy = d["a"], d["c"], len(d)
        done = d.repair()

        assert faults(report) == {where("b"): "torn"}
        assert (report.checked, report.problems[0].key, report.problems[0].action) == (3, "b", "")
        assert healthy == ("0123456789", "0123456789", 3)
        assert [problem.action for problem in done.problems if problem.problem == "torn"] == [
            f"moved to quarantine/{where('b').removeprefix('data/').replace('/', '-')}"
        ]
        assert d.verify() == Report(2, ())
        assert ("b" in d, d.get("b"), list(d)) == (False, None, ["a", "c"])
    assert content in [path.read_bytes() for path in (folder / "quarantine").iterdir()]


def test_torn_value_stays_reported_in_the_next_process(unclean: Open, folder: Path) -> None:
    """Neither closing cleanly nor looking makes damage healthy: only `repair` ends it."""
    os.truncate(value_at(folder, "b"), 5)
    for _ in range(2):
        with unclean() as d:
            d["new"] = 1
            with pytest.raises(CorruptValueError):
                d["b"]
            assert faults(d.verify()) == {where("b"): "torn"}
    with unclean() as d:
        d.repair()
    with unclean() as d:
        assert d.verify().ok
        assert sorted(d) == ["a", "c", "new"]


def test_reads_are_checked_until_verified(unclean: Open, folder: Path) -> None:
    """Once nothing torn was found, reads trust the disk again, in this process and in the next."""
    with unclean() as d:
        d.verify()
        value_at(folder, "b").write_bytes(b'"edited"')
        here = d["b"]
    with unclean() as d:
        there = d["b"]

    assert (here, there) == ("edited", "edited")


@pytest.mark.parametrize("lock", ["gone", "empty"])
def test_expiry_counts_when_verified_without_a_lock_page(
    filled: Open, folder: Path, clock, lock: str, anywhere: str
) -> None:
    """That nothing is torn does not mean that nothing expires, where the page that would say so was lost."""
    (folder / "lock").write_bytes(b"")
    if lock == "gone":
        (folder / "lock").unlink()
    for _ in range(2):
        with filled() as d:
            assert d.verify().ok
            assert d["b"] == [1, 2]
            clock.tick(50)
            assert d.get("b") is None
            clock.tick(-50)


def test_reads_are_checked_before_verified(unclean: Open, folder: Path) -> None:
    """A process that ends cleanly and has not verified leaves the question open."""
    unclean().close()
    value_at(folder, "b").write_bytes(b'"edited"')

    with unclean() as d, pytest.raises(CorruptValueError):
        d["b"]


def test_torn_value_is_healed_by_writing(unclean: Open, folder: Path) -> None:
    """A new value is healthy; nothing has to be repaired."""
    os.truncate(value_at(folder, "b"), 5)
    with unclean() as d:
        d["b"] = "new"

        assert d["b"] == "new"
        assert d.verify().ok


@pytest.mark.parametrize("content", [b"", b"{oops", b'"half', b"\0\0"])
def test_value_that_cannot_be_read_is_torn_always(filled: Open, folder: Path, content: bytes, anywhere: str) -> None:
    """After a clean end too: bytes that are no value are damage, not an edit."""
    value_at(folder, "a").write_bytes(content)
    with filled() as d:
        assert faults(d.verify()) == {where("a"): "torn"}
        with pytest.raises(CorruptValueError):
            d["a"]
        d.repair()

        assert "a" not in d
        assert len(d) == 4
        assert d.verify().ok


# ---- edited


def test_edited_in_place(filled: Open, folder: Path, anywhere: str) -> None:
    """After a clean end it counts as the new value, is named, and is taken over by `repair` with all it had."""
    with filled() as d:
        before = d.info("b")
    value_at(folder, "b").write_bytes(b"[1, 2, 3]\n")
    with filled() as d:
        report = d.verify()
        seen = d["b"]
        done = d.repair()
        after = d.info("b")

        assert faults(report) == {where("b"): "edited"}
        assert "9 bytes" in report.problems[0].detail or "10" in report.problems[0].detail
        assert seen == d["b"] == [1, 2, 3]
        assert [problem.action for problem in done.problems] == ["given attributes that fit"]
        assert (after.expires_at, after.metadata, after.created_at) == (before.expires_at, {"m": 1}, before.created_at)
        assert after.version > before.version
        assert d.verify().ok
        assert list(d)[:2] == ["a", "b"]


def test_replaced_file(filled: Open, folder: Path, tmp_path: Path) -> None:
    """A file that an editor has put in the place of the old has no attributes: it is stripped, and counts."""
    (tmp_path / "new").write_bytes(b"[5]")
    os.replace(tmp_path / "new", value_at(folder, "b"))
    with filled() as d:
        assert faults(d.verify()) == {where("b"): "stripped"}
        assert (d["b"], d.ttl("b")) == ([5], None)
        d.repair()

        assert (d["b"], d.ttl("b")) == ([5], 50)
        assert d.verify().ok


def test_file_put_there_by_hand(filled: Open, folder: Path, anywhere: str) -> None:
    """A file with the name of a key is that key, the last one."""
    value_at(folder, "by-hand").parent.mkdir(exist_ok=True)
    value_at(folder, "by-hand").write_bytes(b"5")
    with filled() as d:
        assert faults(d.verify()) == {where("by-hand"): "stripped"}
        assert d["by-hand"] == 5
        d.repair()
        d["later"] = 1

        assert list(d)[-2:] == ["by-hand", "later"]
        assert d.verify().ok


# ---- stripped


def take_attributes(folder: Path, *keys: Any) -> None:
    """Take attributes and sidecars off the values of keys, all changed one second after the other."""
    for number, key in enumerate(keys):
        path = value_at(folder, key)
        strip(path)
        beside(path, "attr").unlink(missing_ok=True)
        os.utime(path, (1000 + number, 1000 + number))


def test_stripped_value(filled: Open, folder: Path, clock) -> None:
    """`repair` gives back the expiry and the place that the index remembers."""
    with filled() as d:
        before = list(d), d.expires_at("b")
    take_attributes(folder, "b", encode_name("=i1"))
    with filled() as d:
        report = d.verify()
        done = d.repair()

        assert faults(report) == {where("b"): "stripped", where("=i1"): "stripped"}
        assert {problem.action for problem in done.problems} == {"given attributes that fit"}
        assert (list(d), d.expires_at("b")) == before
        assert [key for key in d if key is True] == [True]
        assert d.verify().ok
    clock.tick(50)
    with filled() as d:
        assert "b" not in d


@pytest.mark.parametrize("lose", ["index", "both"])
def test_stripped_values_without_an_index(filled: Open, folder: Path, lose: str, anywhere: str) -> None:
    """Where nothing is remembered they go last, by their time of change, and never expire."""
    take_attributes(folder, "c", "b", "a")
    (folder / "index").unlink()
    if lose == "both":
        (folder / "lock").unlink()
    with filled() as d:
        first = list(d)
        d.repair()
        d["later"] = 1

        assert first == [True, LONG, "c", "b", "a"]
        assert list(d) == [*first, "later"]
        assert d.ttl("b") is None
        assert d.verify().ok


def test_stripped_after_an_unclean_end(unclean: Open, folder: Path, anywhere: str) -> None:
    """What can be read is kept, what cannot is torn."""
    take_attributes(folder, "b", "c")
    os.truncate(value_at(folder, "c"), 3)
    with unclean() as d:
        assert faults(d.verify()) == {where("b"): "stripped", where("c"): "torn"}
        d.repair()

        assert sorted(d) == ["a", "b"]
        assert d["b"] == "0123456789"
        assert d.verify().ok


def test_stripped_while_open(opened: Open, clock) -> None:
    """The index in memory remembers as well as the one on disk."""
    d = opened()
    for key in "abc":
        d.set(key, key, ttl=50)
    take_attributes(d.path, "a", "b")
    d.repair()

    assert list(d) == ["a", "b", "c"]
    assert [d.ttl(key) for key in "abc"] == [50, 50, 50]


# ---- orphaned


def test_orphaned_sidecar(filled: Open, folder: Path, anywhere: str) -> None:
    """A sidecar whose value is gone is set aside, so that no new value of the key inherits from it."""
    path = beside(value_at(folder, "gone"), "attr")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b'{"format":1,"entries":[]}')
    name = str(path.relative_to(folder))
    with filled() as d:
        assert faults(d.verify()) == {name: "orphaned"}
        d.repair()

        assert d.verify().ok
        assert lying_in(folder, "quarantine") == [name.removeprefix("data/").replace("/", "-")]
    assert len(d.path.parts) == len(folder.parts)


def test_orphaned_text_of_a_key(filled: Open, folder: Path, anywhere: str) -> None:
    """The text of a long key without its value is set aside."""
    value_at(folder, encode_name(LONG)).unlink()
    with filled() as d:
        assert set(faults(d.verify()).values()) == {"orphaned"}
        assert LONG not in d
        d.repair()

        assert d.verify().ok
        assert len(d) == 4
        assert lying_in(folder, "quarantine")


@pytest.mark.parametrize("damage", ["gone", "changed", "not text", "link", "folder", "fifo"])
def test_value_of_a_long_key_without_its_text(filled: Open, folder: Path, damage: str, anywhere: str) -> None:
    """Nobody can say what its key was: it is set aside, and keeps nobody from the other keys."""
    value = value_at(folder, encode_name(LONG))
    path = beside(value, "key")
    path.unlink()
    {
        "gone": lambda: None,
        "changed": lambda: path.write_bytes(b"another text"),
        "not text": lambda: path.write_bytes(b"\xff\xfe"),
        "link": lambda: path.symlink_to("/etc/hostname"),
        "folder": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
    }[damage]()
    content = value.read_bytes()
    with filled() as d:
        report = d.verify()
        d.repair()

        assert faults(report)[str(value.relative_to(folder))] == "orphaned"
        assert d.verify().ok
        assert list(d) == ["a", "b", True, "c"]
    assert content in [path.read_bytes() for path in (folder / "quarantine").iterdir() if path.is_file()]


# ---- foreign and unfinished


def test_foreign_things(filled: Open, folder: Path, tmp_path: Path, anywhere: str) -> None:
    """What is not of a store is named wherever it lies; inside ``data`` it is set aside, beside it it is left alone."""
    shard = value_at(folder, "a").parent
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"outside")
    (folder / "notes.txt").write_bytes(b"mine")
    (folder / "data" / "file").write_bytes(b"x")
    (folder / "data" / "folder").mkdir()
    (folder / "data" / "folder" / "inside").write_bytes(b"inside")
    (folder / "data" / "link").symlink_to(tmp_path / "outside")
    (shard / "Upper").write_bytes(b"x")
    (shard / ".hidden").write_bytes(b"x")
    (shard / "link").symlink_to(tmp_path / "outside" / "file")
    (shard / "folder").mkdir()
    os.mkfifo(shard / "fifo")
    elsewhere = next(name for name in names_in_shard("00", count=2) if shard.name != "00")
    (shard / elsewhere).write_bytes(b"5")
    inside = {
        *(f"data/{name}" for name in ("file", "folder", "link")),
        *(f"data/{shard.name}/{name}" for name in ("Upper", ".hidden", "link", "folder", "fifo", elsewhere)),
    }
    with filled() as d:
        healthy = d["a"], d["c"]
        report = d.verify()
        done = d.repair()

        assert healthy == ("0123456789", 3)
        assert faults(report) == dict.fromkeys({*inside, "notes.txt"}, "foreign")
        assert {problem.path for problem in done.problems if problem.action == "left alone"} == {"notes.txt"}
        assert faults(d.verify()) == {"notes.txt": "foreign"}
        assert len(d) == 5
        assert d.stats().keys == 5
    assert len(lying_in(folder, "quarantine")) == len(inside)
    assert (folder / "notes.txt").read_bytes() == b"mine"
    assert (folder / "quarantine" / "folder" / "inside").read_bytes() == b"inside"
    assert tree(tmp_path / "outside")["file"].content == b"outside"


@pytest.mark.parametrize("end", ["clean", "killed"])
@pytest.mark.parametrize("kind", ["link", "file", "fifo"])
def test_something_else_in_the_place_of_a_shard(
    opened: Open, folder: Path, tmp_path: Path, kind: str, end: str, anywhere: str
) -> None:
    """The store opens, other keys are read, and `repair` makes room for a real shard."""
    d = opened(shards=16)
    for number in range(40):
        d[f"k{number}"] = number
    (kill if end == "killed" else DiskDict.close)(d)
    shard = value_at(folder, "k0", 16).parent
    shard.rename(tmp_path / "moved")
    kept = {f"k{number}": number for number in range(40) if value_at(folder, f"k{number}", 16).parent != shard}
    {
        "link": lambda: shard.symlink_to(tmp_path / "moved"),
        "file": lambda: shard.write_bytes(b"x"),
        "fifo": lambda: os.mkfifo(shard),
    }[kind]()
    before = tree(tmp_path / "moved")
    with opened() as d:
        seen = {key: d[key] for key in kept}
        report = d.verify()
        d.repair()
        d["k0"] = "new"

        assert seen == kept
        assert faults(report) == {f"data/{shard.name}": "foreign"}
        assert dict(d) == kept | {"k0": "new"}
        assert d.verify().ok
    assert tree(tmp_path / "moved") == before


def test_unfinished_files(filled: Open, folder: Path, anywhere: str) -> None:
    """Temporaries of a process that was killed are named and set aside."""
    shard = value_at(folder, "a").parent
    (folder / "tmp").mkdir()
    for path in (shard / ".new", shard / ".new-attr", folder / "tmp" / "stream"):
        path.write_bytes(b"half")
    with filled() as d:
        assert faults(d.verify()) == dict.fromkeys(
            [f"data/{shard.name}/.new", f"data/{shard.name}/.new-attr", "tmp/stream"], "unfinished"
        )
        d.repair()

        assert d.verify().ok
        assert len(lying_in(folder, "quarantine")) == 3


def test_quarantine_is_no_problem(filled: Open, folder: Path) -> None:
    """What lies there was dealt with."""
    (folder / "quarantine").mkdir()
    (folder / "quarantine" / "anything").write_bytes(b"x")
    with filled() as d:
        assert d.verify().ok


# ---- repair keeps everything


def test_nothing_is_ever_overwritten_in_quarantine(filled: Open, folder: Path) -> None:
    """Damage of the same name lies side by side, also beside what somebody put there."""
    name = where("a").removeprefix("data/").replace("/", "-")
    (folder / "quarantine").mkdir()
    (folder / "quarantine" / name).write_bytes(b"theirs")
    for content in (b"{first", b"{second"):
        value_at(folder, "a").write_bytes(content)
        with filled() as d:
            d.repair()
    held = {path.name: path.read_bytes() for path in (folder / "quarantine").iterdir()}

    assert {name: content for name, content in held.items() if not content.startswith(b"{")} == {name: b"theirs"}
    assert sorted(held.values()) == [b"theirs", b"{first", b"{second"]


def test_nothing_is_ever_deleted(filled: Open, folder: Path, anywhere: str) -> None:
    """Every byte that was in ``data`` before is somewhere in the folder afterwards."""
    shard = value_at(folder, "a").parent
    (shard / "foreign~").write_bytes(b"foreign content")
    value_at(folder, "a").write_bytes(b"{torn content")
    (shard / ".new").write_bytes(b"unfinished content")
    beside(value_at(folder, "c"), "attr").write_bytes(b"sidecar content")
    value_at(folder, "c").unlink()
    with filled() as d:
        d.repair()

        assert d.verify().ok
    contents = {path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {b"foreign content", b"{torn content", b"unfinished content", b"sidecar content"} <= contents


def test_everything_at_once(filled: Open, folder: Path, anywhere: str) -> None:
    """Kinds of damage do not get in each other's way, and healthy keys work before, during and after."""
    shard = value_at(folder, "a").parent
    (shard / ".hidden").write_bytes(b"x")
    value_at(folder, "a").write_bytes(b"{")
    value_at(folder, "b").write_bytes(b"[3]")
    beside(value_at(folder, encode_name(LONG)), "key").unlink()
    take_attributes(folder, "c")
    with filled() as d:
        assert (d["b"], d["c"], d[1]) == ([3], 3, b"\x89PNG")
        assert sorted(faults(d.verify()).values())[:2] == ["edited", "foreign"]
        d["during"] = 1
        d.repair()

        assert dict(d) == {"b": [3], True: b"\x89PNG", "c": 3, "during": 1}
        assert d.verify().ok


def test_repair_without_damage_changes_nothing(filled: Open, folder: Path) -> None:
    """A healthy folder stays as it is."""
    before = tree(folder / "data")
    with filled() as d:
        assert d.repair() == Report(5, ())

    assert tree(folder / "data") == before
    assert not (folder / "quarantine").exists()


# ---- who may


def test_readonly_verify_changes_nothing(unclean: Open, folder: Path) -> None:
    """A reader can look, and what it found stays for the next writer to check."""
    with unclean(readonly=True) as d:
        before = tree(folder)
        assert d.verify() == Report(3, ())
        with pytest.raises(ReadOnlyError):
            d.repair()
    os.truncate(value_at(folder, "b"), 5)

    assert tree(folder) | {where("b"): None} == before | {where("b"): None}
    with unclean() as d, pytest.raises(CorruptValueError):
        d["b"]


def test_verify_during_changes(opened: Open) -> None:
    """Changes of this handle are no problems of its verification."""
    d = opened()
    for number in range(20):
        d[f"k{number}"] = number
        assert d.verify() == Report(number + 1, ())


def test_problem_says_what_where_and_why(filled: Open, folder: Path) -> None:
    """A problem names path, key, and what was met; repr is for people."""
    value_at(folder, "a").write_bytes(b'"0"')
    with filled() as d:
        [problem] = d.verify().problems

    assert problem == Problem(where("a"), "edited", "a", "12 bytes were written, 3 are there", "")


def test_keys_of_problems_are_keys(opened: Open, folder: Path) -> None:
    """A key that is no text is named as it was given."""
    with opened() as d:
        d[("a", True)] = 1
        d.path_for(("a", 1)).write_bytes(b"2 ")
        d[1.0] = 5
        d.path_for(1).write_bytes(b"6 ")
    with opened() as d:
        assert {problem.key for problem in d.verify().problems} == {("a", 1), 1}

"""Whatever ends a change of a store in one file, the file is the old one or the new one, and memory is as the file."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import faults
import pytest
from crew import Crew
from jsonfile_child import CHANGES, State, expected, fill, seen
from mounts import CannotMountError, mounted
from tallies import Announce, tally

from diskdict.backends.jsonfile.store import JsonFileStore

each_change = pytest.mark.parametrize("name", CHANGES)


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    """Processes whose system calls are counted."""
    with Crew("faults:install", "jsonfile_child") as crew:
        yield crew


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "store.json"
    fill(found)
    return found


def outcomes(crew: Crew, path: Path, name: str) -> tuple[int, State, State]:
    """Return the calls of a change, and what is there before and after it; the file is as it was."""
    content, before = path.read_bytes(), seen(path)
    calls, _, after = ask(crew, path, name, faults.FailToChange(0))
    assert seen(path) == after == expected(name)
    path.write_bytes(content)
    return calls, before, after


def ask(crew: Crew, path: Path, name: str, plan: faults.Plan) -> tuple[int, str, State]:
    with crew.actor() as actor:
        found: tuple[int, str, State] = actor.ask(
            "jsonfile_child.change(path, name, plan)", path=path, name=name, plan=plan
        )
    return found


@each_change
def test_killed_before_each_call(crew: Crew, path: Path, name: str) -> None:
    """Old or new, nothing in between, and whoever opens it next goes on."""
    _, before, after = outcomes(crew, path, name)
    content = path.read_bytes()
    for number in itertools.count(1):
        try:
            ask(crew, path, name, faults.Kill(number))
        except EOFError:
            assert seen(path) == before, f"killed before call {number}"
            assert [entry.name for entry in path.parent.iterdir() if entry.name.endswith(".new")] == []
        else:
            break
        path.write_bytes(content)

    assert number > 2
    assert seen(path) == after


@each_change
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_each_call_fails(crew: Crew, path: Path, name: str, code: int) -> None:
    """An error is told, and nothing has changed, in memory and on disk."""
    calls, before, _ = outcomes(crew, path, name)
    content = path.read_bytes()
    failed = 0
    for number in range(1, calls + 1):
        _, error, found = ask(crew, path, name, faults.FailToChange(number, code))
        if error:
            failed += 1
            assert found == before, f"call {number} failed"
            assert seen(path) == before, f"call {number} failed"
        path.write_bytes(content)

    assert failed >= 4  # to make the next file, write, sync and rename it


@each_change
def test_each_call_fails_when_it_is_done(crew: Crew, path: Path, name: str) -> None:
    """What is in memory is what is in the file, be it old or new."""
    calls, before, after = outcomes(crew, path, name)
    content = path.read_bytes()
    for number in range(1, calls + 1):
        _, _, found = ask(crew, path, name, faults.DoAndFail(number))
        assert found in (before, after), f"call {number} was done and failed"
        assert seen(path) == found, f"call {number} was done and failed"
        path.write_bytes(content)


@each_change
def test_half_a_write_is_completed(crew: Crew, path: Path, name: str) -> None:
    """The system may take a part of what it is given."""
    _, _, after = outcomes(crew, path, name)

    _, error, found = ask(crew, path, name, faults.Half(1))

    assert error == ""
    assert seen(path) == found == after


def witness(crew: Crew, path: Path, rounds: int) -> None:
    said = 0
    for _ in range(rounds):
        with crew.actor() as actor:
            actor.start("jsonfile_child.count_for_ever(path, say)", path=path)
            for _ in range(3):
                said = actor.hear()
            actor.kill()
            said = max([said, *actor.last_words()])
        found = seen(path)
        assert found["a"] == found["b"]
        assert int(found["a"]) in (said, said + 1)
    tally["kills of a store in one file"] += rounds


def test_killed_at_random(crew: Crew, tmp_path: Path) -> None:
    """What was acknowledged is there, what was being done is all there or not at all: 30 kills."""
    witness(crew, tmp_path / "store.json", 30)


@pytest.mark.torture
@pytest.mark.parametrize("ending", ["json", "json.gz", "json.zst"])
def test_killed_at_random_for_long(crew: Crew, tmp_path: Path, ending: str) -> None:
    """3,000 kills."""
    witness(crew, tmp_path / f"store.{ending}", 1_000)


def interrupt(crew: Crew, folder: Path, name: str, step: int) -> None:
    with crew.actor() as actor:
        names = {"folder": folder, "name": name, "step": step}
        places, wrong = actor.ask("jsonfile_child.interrupt(folder, name, step)", **names)
    assert not wrong
    assert places > 50


@each_change
def test_interrupted_at_some_places(crew: Crew, tmp_path: Path, name: str) -> None:
    """By Ctrl-C: the keys that it is not about stay, what is in memory is old or new, and the next change counts."""
    interrupt(crew, tmp_path, name, 5)


@pytest.mark.torture
@each_change
def test_interrupted_at_each_place(crew: Crew, tmp_path: Path, name: str) -> None:
    """The same at all of them."""
    interrupt(crew, tmp_path, name, 1)


def test_forked_child_has_nothing(crew: Crew, path: Path) -> None:
    """It is told so; the parent goes on, whatever the child does."""
    with crew.actor() as actor:
        met, found = actor.ask("jsonfile_child.fork(path)", path=path)

    refusal = f"ClosedError: {path} was opened before a fork; the child has to open it itself"
    assert met == [refusal, refusal, "None", refusal]
    assert found == seen(path) == {"a": b'"old"', "b": b"1"}


@pytest.fixture
def small(tmp_path: Path, announce: Announce) -> Iterator[Path]:
    """A filesystem with room for little."""
    with contextlib.ExitStack() as stack:
        try:
            point = stack.enter_context(mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=256k", "tmpfs"))
        except CannotMountError as error:
            announce(f"a store in one file on a full disk: this user cannot mount a small one ({error}).")
            pytest.skip("cannot mount a filesystem")
        yield point


def test_no_room_is_left(small: Path) -> None:
    """The file and memory stay as they were; with room it goes on."""
    path = small / "store.json"
    store = JsonFileStore(str(path))
    store.put("a", json.dumps("x" * 50_000).encode())
    content = path.read_bytes()
    filler = small / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        file.writelines(itertools.repeat(b"x" * 4_096))
    for change in (
        lambda: store.put("b", b"1"),
        lambda: store.delete("a"),
        lambda: store.put_many({"a": b"1", "b": b"2"}),
        lambda: store.amend("a", meta="{}"),
    ):
        with pytest.raises(OSError, match="No space left"):
            change()

    assert list(store.scan()) == ["a"]
    assert path.read_bytes() == content
    assert sorted(entry.name for entry in small.iterdir()) == [".store.json.lock", "filler", "store.json"]
    filler.unlink()
    store.put("b", b"1")
    store.close()
    assert list(seen(path)) == ["a", "b"]

"""The three durable queues: what all of them do, and what each does alone."""

from __future__ import annotations

import gc
import json
import os
import queue
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clocks import Clock
from crew import Actor, Crew
from queue_contract import Open, Queue, QueueContract, QueueFixtures, drained
from test_locking import AFTER_FORK, ENVIRONMENT

from diskdict import DiskDict, DurableLifoQueue, DurablePriorityQueue, DurableQueue
from diskdict.errors import ClosedError, FormatError, InvalidValueError, StoreLockedError


class TestDurableQueue(QueueContract):
    """First in, first out."""


class TestDurableLifoQueue(QueueContract):
    """Last in, first out."""

    queue_class = DurableLifoQueue
    reference = queue.LifoQueue


class TestDurablePriorityQueue(QueueContract):
    """The smallest first."""

    queue_class = DurablePriorityQueue
    reference = queue.PriorityQueue

    @pytest.mark.parametrize("again", [False, True])
    def test_equal_items_come_in_the_order_of_their_puts(self, opened: Open, again: bool) -> None:
        """Where the library's promises nothing; by the handle that put them and by another."""
        q = opened()
        q.put_many([True, 1.0, 2, 1, 2.0])
        q.put(0)
        if again:
            q = opened()

        assert [repr(value) for value in drained(q)] == ["0", "True", "1.0", "1", "2", "2.0"]

    @pytest.mark.parametrize("again", [False, True])
    def test_what_cannot_be_compared_is_refused(self, opened: Open, again: bool) -> None:
        """By the comparison's own error; the item is not in the queue, and the others are as they were."""
        q = opened()
        q.put_many([(3, "c"), (1, "a"), (2, "b")])
        if again:
            q = opened()
        for value in ("text", (1, 5), None, {"a": 1}):
            with pytest.raises(TypeError):
                q.put(value)
            with pytest.raises(TypeError):
                q.put_many([(0, "z"), value])
        assert (q.qsize(), q.unfinished_tasks) == (3, 3)

        assert drained(opened()) == [(1, "a"), (2, "b"), (3, "c")]

    def test_what_cannot_be_compared_among_many(self, opened: Open) -> None:
        """Neither with what is there nor with each other: none is put."""
        q = opened()
        with pytest.raises(TypeError):
            q.put_many([1, "a"])
        q.put(5)

        assert drained(opened()) == [5]

    def test_delayed_items_are_compared_when_they_can_be_had(self, opened: Open, clock: Clock) -> None:
        """What cannot be compared then is a dead letter, and the rest comes."""
        q = opened()
        q.put("b", delay=5)
        q.put_many([2, 1])
        clock.tick(6)

        assert drained(q) == [1, 2]
        [(number, letter)] = q.dead_letters.items()
        assert letter.value() == "b"
        assert q.unfinished_tasks == 2
        q.dead_letters.requeue(number)
        assert drained(opened()) == ["b"]


each_class = pytest.mark.parametrize("kind", [DurableQueue, DurableLifoQueue, DurablePriorityQueue])


# ---- who may open


def test_second_opener_is_refused(folder: Path) -> None:
    """By the same process too; nothing is lost."""
    with DurableQueue(folder) as q:
        q.put(1)
        with pytest.raises(StoreLockedError, match="this process"):
            DurableQueue(folder)
        with pytest.raises(StoreLockedError):
            DurableLifoQueue(folder)
        assert q.get() == 1


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with Crew("test_locking") as crew:
        yield crew


@pytest.fixture
def other(crew: Crew) -> Iterator[Actor]:
    """Another process."""
    with crew.actor() as actor:
        yield actor


OPEN = "from diskdict import DurableQueue; q = DurableQueue(path, **options)"


def test_second_process_is_refused(other: Actor, folder: Path) -> None:
    """It is told which process has the folder; it may have it when that is closed."""
    other.run(OPEN + "; q.put('a')", path=folder, options={})
    with pytest.raises(StoreLockedError, match=f"process {other.pid}"):
        DurableQueue(folder)
    other.run("q.close()")

    with DurableQueue(folder) as q:
        assert q.get() == "a"


def test_timeout_waits_for_the_other(other: Actor, folder: Path) -> None:
    """Who opens with a timeout gets the folder as soon as it is free."""
    with DurableQueue(folder) as q:
        q.put("a")
        other.start(OPEN + "; say(q.get())", path=folder, options={"timeout": 20})

    assert other.hear() == "a"


def test_killed_process_frees_the_folder(other: Actor, folder: Path) -> None:
    """And what it has put is there."""
    other.run(OPEN + "; q.put_many(range(5)); q.get()", path=folder, options={})
    other.kill()

    with DurableQueue(folder) as q:
        assert drained(q) == [1, 2, 3, 4]


@pytest.mark.parametrize("options", [{}, {"visibility": 9}, {"durability": "full"}], ids=str)
def test_forked_handle_is_closed(other: Actor, folder: Path, options: dict[str, Any]) -> None:
    """A child that went on with it would give what the parent gives; the parent goes on."""
    other.run(OPEN, path=folder, options=options)
    other.run(AFTER_FORK + "q.put_many(range(5))")

    for call in ("q.put(1)", "q.get()", "q.get_many(2)", "q.peek()", "q.qsize()", "list(q)", "q.clear()", "q.flush()"):
        said = other.ask(f"in_child(lambda: {call})")
        assert said == f"ClosedError: {folder} was opened before a fork; the child has to open it itself", call
    other.ask("in_child(q.close)")
    other.run("q.put(5); assert q.qsize() == 6; q.close()")
    assert other.ask("in_child(lambda: DurableQueue(path).get())") == "0"


FORKING = """
import os, sys
from diskdict import DurableQueue
q = DurableQueue(sys.argv[1])
q.put_many("abc")
if os.fork() == 0:
    sys.exit(7)
child = os.wait()[1]
q.get()
q.close()
sys.exit(os.waitstatus_to_exitcode(child))
"""


def test_child_that_ends_as_programs_do(folder: Path) -> None:
    """At its end nothing of the parent's is written, and nothing is complained of."""
    program = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, folder]
    done = subprocess.run(program, capture_output=True, text=True, env=ENVIRONMENT)

    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")
    with DurableQueue(folder) as q:
        assert drained(q) == ["b", "c"]


def drop(handles: list[Queue]) -> None:
    handles.clear()
    gc.collect()


@each_class
def test_collected_handle_warns_and_frees_the_folder(folder: Path, kind: type[Queue]) -> None:
    """One that was forgotten closes, and says so to those who listen."""
    handles = [kind(folder)]
    handles[0].put(1)
    with pytest.warns(ResourceWarning, match=f"{folder} was not closed"):
        drop(handles)

    with kind(folder) as q:
        assert drained(q) == [1]


ENDING = """
import sys
from diskdict import DurableQueue
q = DurableQueue(sys.argv[1])
q.put(1)
"""


def test_process_that_ends_closes(folder: Path) -> None:
    """Without a word, and the index is there for the next."""
    done = subprocess.run([sys.executable, "-c", ENDING, folder], capture_output=True, text=True, env=ENVIRONMENT)

    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "index").exists()
    with DurableQueue(folder) as q:
        assert drained(q) == [1]


# ---- wrong ways to open


@each_class
def test_folders_of_others_are_refused(tmp_path: Path, kind: type[Queue]) -> None:
    """A dict's, one with other things in it, a file: each by name, and nothing in it is touched."""
    with DiskDict[str, int](tmp_path / "dict") as d:
        d["k"] = 1
    (tmp_path / "things").mkdir()
    (tmp_path / "things" / "thing").write_text("thing")
    (tmp_path / "file").write_text("file")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"}
    with pytest.raises(FormatError, match=r"(?s)dict.*queue"):
        kind(tmp_path / "dict")
    with pytest.raises(FormatError, match="'thing'"):
        kind(tmp_path / "things")
    with pytest.raises(NotADirectoryError):
        kind(tmp_path / "file")

    assert before == {path: path.read_bytes() for path in before}


def test_dict_refuses_a_queue(folder: Path) -> None:
    """By both kinds, and the items are there afterwards."""
    with DurableQueue(folder) as q:
        q.put(1)
    with pytest.raises(FormatError, match=r"(?s)queue.*dict"):
        DiskDict(folder)

    with DurableQueue(folder) as q:
        assert drained(q) == [1]


def test_other_codec_is_refused(folder: Path) -> None:
    """Naming both, and the items are there afterwards."""
    with DurableQueue(folder) as q:
        q.put(1)
    with pytest.raises(FormatError, match=r"(?s)json.*pickle|pickle.*json"):
        DurableQueue(folder, codec="pickle")

    with DurableQueue(folder) as q:
        assert drained(q) == [1]


def test_nothing_is_made_unasked(folder: Path) -> None:
    """create=False opens what is there alone."""
    with pytest.raises(FileNotFoundError):
        DurableQueue(folder, create=False)
    assert not folder.exists()
    DurableQueue(folder).close()

    DurableQueue(folder, create=False).close()


@pytest.mark.parametrize(
    "options",
    [
        {"maxsize": "1"},
        {"maxsize": 1.5},
        {"durability": "sometimes"},
        {"interval": -1},
        {"interval": "1"},
        {"visibility": 0},
        {"visibility": -1},
        {"visibility": float("nan")},
        {"visibility": "1"},
        {"max_deliveries": 0, "visibility": 1},
        {"max_deliveries": 1.5, "visibility": 1},
        {"max_deliveries": 2},
        {"codec": "yaml"},
        {"codec": 1},
        {"perm": 0o7777},
        {"timeout": "1"},
    ],
    ids=repr,
)
def test_senseless_options(folder: Path, options: dict[str, Any]) -> None:
    """They are named, and no folder is made."""
    with pytest.raises((TypeError, ValueError), match="|".join(options)):
        DurableQueue(folder, **options)

    assert not folder.exists()


def test_misspelt_option(folder: Path) -> None:
    """It is an error, as everywhere."""
    with pytest.raises(TypeError, match="visiblity"):
        DurableQueue(folder, visiblity=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("path", ["", b"bytes", 1, None], ids=repr)
def test_senseless_paths(path: Any) -> None:
    """They are refused before anything is made."""
    with pytest.raises((TypeError, ValueError)):
        DurableQueue(path)


# ---- the folder


def test_manifest_names_the_kind(folder: Path) -> None:
    """As in every store."""
    DurableQueue(folder).close()

    manifest = json.loads((folder / "diskdict.json").read_bytes())
    assert (manifest["kind"], manifest["codec"]) == ("queue", "json")


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_folder_is_private(folder: Path) -> None:
    """Nobody else may look, but with perm=."""
    with DurableQueue(folder, visibility=5, max_deliveries=1) as q:
        q.put_many(range(3))
        q.nack(q.get())
    modes = {path: path.stat().st_mode & 0o777 for path in [folder, *folder.rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}

    shared = folder.with_name("shared")
    with DurableQueue(shared, perm=0o640) as q:
        q.put(1)
    assert {path.stat().st_mode & 0o777 for path in shared.rglob("*") if path.is_file()} == {0o640}


def test_item_lies_as_documented(folder: Path, clock: Clock) -> None:
    """A line of 66 characters and its end, the key, the payload, an end; a taken item differs by one byte."""
    with DurableQueue(folder, clock=clock) as q:
        q.put({"url": "https://…"}, dedupe_key="k")
        [file] = (folder / "data").iterdir()
        content = file.read_bytes()
        at = content.index(b"+ 0000000000.000000 000 ")
        assert content[at + 66 :].startswith('\nk{"url":"https://…"}\n'.encode())
        assert f" {clock.now:017.6f} ".encode() in content[at : at + 66]
        q.get()
        after = file.read_bytes()
        [changed] = [place for place in range(at, at + 100) if content[place] != after[place]]
        assert after[changed : changed + 1] == b"-"


@pytest.mark.parametrize("codec", ["pickle", "raw"])
def test_other_codecs(folder: Path, codec: str) -> None:
    """What they can write comes back, what they cannot is refused."""
    value: Any = {1: {2}} if codec == "pickle" else b"bytes"
    with DurableQueue(folder, codec=codec) as q:
        q.put(value)
        with pytest.raises(InvalidValueError):
            q.put((lambda: 1) if codec == "pickle" else "text")
        assert q.qsize() == 1

    with DurableQueue(folder, codec=codec) as q:
        assert q.get() == value


class Reversed:
    """A codec of one's own."""

    name = "reversed"

    def dumps(self, value: Any) -> bytes:
        return str(value)[::-1].encode()

    def loads(self, payload: bytes) -> Any:
        return payload.decode()[::-1]


def test_own_codec(folder: Path) -> None:
    """Anything with dumps, loads and a name."""
    with DurableQueue(folder, codec=Reversed()) as q:
        q.put("abc")

    with DurableQueue(folder, codec=Reversed()) as q:
        assert q.get() == "abc"
    assert b"cba" in b"".join(path.read_bytes() for path in (folder / "data").iterdir())


class TestSubclass(QueueFixtures):
    """Subclasses of users."""

    def test_generic(self, opened: Open) -> None:
        """The classes can be subscribed, as the library's."""
        assert DurableQueue[int, int].__origin__ is DurableQueue  # type: ignore[attr-defined]

    def test_closed_says_so(self, q: Queue, folder: Path) -> None:
        """repr is no secret, open or closed."""
        assert str(folder) in repr(q)
        q.close()
        assert "closed" in repr(q)
        with pytest.raises(ClosedError):
            q.get()

"""A queue on its way between memory and folder, while things go wrong."""

from __future__ import annotations

import itertools
import random
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faults
import pytest
from crew import Crew
from flushing import Deadly, Left, jobs
from stage import both_homes
from tallies import tally

from diskdict import Codec

BEFORE = ["here", "already"]
ITEMS = ["first", {"second": 2}, ["third"], 4.0]


@pytest.fixture(scope="module")
def movers() -> Iterator[Crew]:
    """Processes whose system calls are counted."""
    with Crew("faults:install_with_syncs", "flushing") as crew:
        yield crew


def back(folder: Path, codec: str | Codec = "json") -> list[Any]:
    """Return what another process finds in the folder, which is to be whole."""
    q = jobs(folder, codec=codec)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        q.ingest()
    return list(q.queue)


def moved(crew: Crew, way: str, /, **names: object) -> Left:
    """Do it in a process of its own. EOFError where that is killed."""
    with crew.actor() as actor:
        left: Left = actor.ask(f"flushing.{way}({', '.join(names)})", **names)
    return left


def folders(place: Path, before: list[Any]) -> Iterator[tuple[int, Path]]:
    """Give numbers from 1, each with a folder that items lie in."""
    for number in itertools.count(1):
        folder = place / str(number)
        jobs(folder, before).flush()
        yield number, folder


@both_homes
@pytest.mark.parametrize("before", [[], BEFORE])
def test_killed_before_each_call_of_flush(movers: Crew, quick: Path, home: str, before: list[Any]) -> None:
    """What was written by then is there, in order, and what was there before."""
    found = set()
    for number, folder in folders(quick, before):
        try:
            moved(movers, "flush", folder=folder, home=home, items=ITEMS, fate=faults.Kill(number))
        except EOFError:
            items = back(folder)
            assert items[: len(before)] == before
            assert items[len(before) :] == ITEMS[: len(items) - len(before)]
            found.add(len(items) - len(before))
        else:
            break
    assert found == {0, 1, 2, 3, 4}
    assert back(folder) == before + ITEMS


@both_homes
def test_killed_before_each_call_of_ingest(movers: Crew, quick: Path, home: str) -> None:
    """Nothing has left the folder before all was in the queue, and then the first leaves first."""
    found = []
    for number, folder in folders(quick, ITEMS):
        try:
            moved(movers, "ingest", folder=folder, home=home, fate=faults.Kill(number))
        except EOFError:
            found.append(back(folder))
        else:
            break
    assert [items for items, _ in itertools.groupby(found)] == [ITEMS[gone:] for gone in range(5)]


@both_homes
@pytest.mark.parametrize("fail", [faults.Fail, faults.DoAndFail])
def test_each_call_of_flush_fails(movers: Crew, quick: Path, home: str, fail: type[faults.Fail]) -> None:
    """An item is in memory or in the folder; in both only where the disk does not say that it has it."""
    for number, folder in folders(quick, BEFORE):
        left = moved(movers, "flush", folder=folder, home=home, items=ITEMS, fate=fail(number))
        if not left.where:
            break
        there = back(folder)
        assert there[:2] == BEFORE, left
        assert not left.astray, left
        assert left.error is not None or there[2:] + left.waiting == ITEMS, left
        if there[2:] + left.waiting != ITEMS:
            assert left.waiting == ITEMS, left
            assert there[2:] == ITEMS[: len(there) - 2], left
            assert left.where in CLOSING, left
    assert back(folder) == BEFORE + ITEMS


CLOSING = {"syncfs", "pwrite", "write", "close", "flock", "unlink", "lseek"}
"""What may fail when all is written."""


@both_homes
@pytest.mark.parametrize("fail", [faults.Fail, faults.DoAndFail])
def test_each_call_of_ingest_fails(movers: Crew, quick: Path, home: str, fail: type[faults.Fail]) -> None:
    """An item is in memory or in the folder; in both only where it could not be removed."""
    for number, folder in folders(quick, ITEMS):
        left = moved(movers, "ingest", folder=folder, home=home, fate=fail(number))
        if not left.where:
            break
        there = back(folder)
        assert not left.astray, left
        for item in ITEMS:
            assert item in left.waiting or item in there, left
        if sorted(map(str, there + left.waiting)) != sorted(map(str, ITEMS)):
            assert left.error is not None, left
            assert left.where in {"unlink", *CLOSING}, left


@pytest.mark.parametrize("way", ["flush", "ingest"])
def test_interrupted(movers: Crew, quick: Path, way: str) -> None:
    """After a Ctrl-C at any place, here every forty-seventh, an item is in memory or in the folder, or in both."""
    place = random.randrange(1, 48)
    for number, folder in folders(quick, ITEMS if way == "ingest" else []):
        at = place + 47 * (number - 1)
        items = ITEMS if way == "flush" else []
        left = moved(movers, "interrupt", folder=folder, way=way, items=items, at=at)
        if not left.where:
            break
        assert not left.astray, left
        there = back(folder)
        assert there == [item for item in ITEMS if item in there], left
        assert all(item in there or item in left.waiting for item in ITEMS), left
    tally["interruptions"] += number


def test_killed_while_it_flushes_a_pipe(movers: Crew, quick: Path) -> None:
    """What it had moved and what it had not taken is there; the one item in its hand goes with it, as after get."""
    items = [f"{number:04d}" for number in range(300)]
    with movers.actor() as actor:
        names = {"folder": quick / "q", "items": items, "last": items[200]}
        exitcode, left = actor.ask("flushing.flush_a_pipe(folder, items, last)", **names)

    assert exitcode == -signal.SIGKILL
    assert left == items[201:]
    assert back(quick / "q", Deadly()) == items[:200]

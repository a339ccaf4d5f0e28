"""Calls of the system that fail, one after the other."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import deeds
import faults
import pytest
from crash_child import Place, Trial
from crew import Crew
from deeds import SCENES, At, Records, exactly, opened
from stage import FEW, Stage, both_homes, each_durability, each_scene, scenes_by_durability
from tallies import tally

from diskdict import DiskDict


def judge_failures(stage: Stage, trials: list[Trial]) -> None:
    for trial in trials:
        # A file that could not be removed may be left.
        stage.judge(trial, {"orphaned"} if trial.where == "unlink" else set())
        if trial.error is None:
            assert exactly(trial.reopened) == exactly(stage.new), trial
        elif SCENES[stage.place.scene].commit and stage.place.durability == "process":
            assert exactly(trial.reopened) == exactly(stage.new if trial.committed else stage.old), trial


def fail(
    crew: Crew,
    quick: Path,
    home: str,
    scene: str,
    kind: Callable[[int], faults.Plan],
    *,
    durability: str = "process",
    **options: object,
) -> int:
    stage = Stage(crew, quick, home, scene, durability)
    with crew.actor() as actor:
        fates = [kind(number) for number in range(1, 400)]
        trials = actor.ask("place.fail(fates, **options)", place=stage.place, fates=fates, options=options)
    judge_failures(stage, trials)
    tally["calls that failed"] += len(trials)
    return len(trials)


@scenes_by_durability
@both_homes
def test_each_call_fails_once(crew: Crew, quick: Path, home: str, scene: str, durability: str) -> None:
    """A change raises and leaves the old value, no file and no descriptor, or it is done; the handle goes on."""
    assert fail(crew, quick, home, scene, faults.FailToChange, durability=durability)


@both_homes
@pytest.mark.parametrize("scene", ["put heavy", "overwrite by heavy", "describe heavily", "rename"])
def test_each_call_finds_no_space(crew: Crew, quick: Path, home: str, scene: str) -> None:
    """An attribute that finds no space goes to a sidecar, everything else is as with other errors."""
    assert fail(crew, quick, home, scene, lambda number: faults.FailToChange(number, errno.ENOSPC), loaded=False)


@both_homes
@pytest.mark.parametrize(
    "scene", ["put long key", "overwrite", "overwrite expired", "delete heavy", "describe heavy", "rename"]
)
def test_each_call_is_done_and_fails(crew: Crew, quick: Path, home: str, scene: str) -> None:
    """An error after the rename means old or new, and the handle knows which."""
    assert fail(crew, quick, home, scene, faults.DoAndFail)


@pytest.mark.parametrize("home", ["sidecars"], indirect=True)
@pytest.mark.parametrize("scene", ["put long key", "overwrite heavy by heavy"])
def test_each_write_is_short(crew: Crew, quick: Path, home: str, scene: str) -> None:
    """What a write has left over is written by the next."""
    assert fail(crew, quick, home, scene, faults.Half)


@pytest.mark.parametrize("durability", ["interval", "full"])
@both_homes
@pytest.mark.parametrize("scene", ["first put", "overwrite", "delete", "expire", "rename", "transaction", "clear"])
def test_each_sync_fails_once(crew: Crew, quick: Path, home: str, scene: str, durability: str) -> None:
    """What could not be made durable is not acknowledged."""
    assert fail(crew, quick, home, scene, faults.FailToSync, durability=durability)


@pytest.mark.torture
@pytest.mark.parametrize(("kind", "loaded"), [(faults.Fail, False), (faults.DoAndFail, True)])
@both_homes
@each_scene
def test_each_call_fails_in_other_ways(
    crew: Crew, quick: Path, home: str, scene: str, kind: type[faults.Plan], loaded: bool
) -> None:
    """Reading calls fail too, and calls that did what they should, with the index in memory and not."""
    assert fail(crew, quick, home, scene, kind, loaded=loaded)


CODES = ("EIO", "ENOSPC", "EDQUOT", "EMFILE", "EINTR", "EROFS", "EACCES", "ENOMEM", "EXDEV")
BY_STREAMS = ("put file over heavy", "move in over long key", "write over long key", "copy over long key", "get file")


@pytest.mark.torture
@pytest.mark.parametrize("code", CODES)
@each_durability
@both_homes
@pytest.mark.parametrize("scene", [*FEW, *BY_STREAMS])
def test_each_call_fails_for_each_reason(
    crew: Crew, quick: Path, home: str, scene: str, durability: str, code: str
) -> None:
    """Whatever the system has against a call, and be it one that reads, the change is made or not."""
    reason = getattr(errno, code)
    assert fail(crew, quick, home, scene, lambda number: faults.Fail(number, reason), durability=durability)


@both_homes
@pytest.mark.parametrize("kind", [faults.Fail, faults.DoAndFail])
@pytest.mark.parametrize("scene", ["put", "new"])
def test_each_call_of_opening_fails_once(
    crew: Crew, quick: Path, home: str, scene: str, kind: Callable[[int], faults.Plan]
) -> None:
    """A store that could not be opened or made is not locked, and opens at the next attempt."""
    place = Place(quick / "new", home, "put")
    old: Records = {}
    if scene != "new":
        stage = Stage(crew, quick, home, scene)
        place, old = stage.place, stage.old

    with crew.actor() as actor:
        trials = actor.ask("place.open(fates)", place=place, fates=[kind(number) for number in range(1, 400)])
    assert trials
    for trial in trials:
        assert not trial.astray, trial
        assert not trial.problems, trial
        assert exactly(trial.reopened) == exactly(old), trial


@both_homes
@pytest.mark.parametrize("scene", ["transaction", "transaction long key", "transaction heavy"])
def test_each_call_of_finishing(crew: Crew, quick: Path, home: str, scene: str) -> None:
    """Whoever opens a store with a transaction in its journal may end or fail at any call: the next finishes it."""
    stage = Stage(crew, quick, home, scene)
    shutil.rmtree(stage.place.folder)
    with crew.actor() as actor:
        actor.run("place.leave()", place=stage.place)
    found, _ = stage.look(stage.copy())
    assert exactly(found) == exactly(stage.new)

    with crew.actor() as actor:
        calls = actor.ask("place.make(fate)", place=stage.copy(), fate=faults.Kill(0))
        for kind in (faults.Fail, faults.DoAndFail):
            trials = actor.ask("place.open(fates)", place=stage.place, fates=[kind(number) for number in range(1, 400)])
            assert trials
            for trial in trials:
                assert not trial.astray, trial
                assert exactly(trial.reopened) == exactly(stage.new), trial
    for number in range(1, calls + 1):
        place = stage.copy()
        with crew.actor() as actor, pytest.raises(EOFError):
            actor.ask("place.make(fate)", place=place, fate=faults.Kill(number))
        found, problems = stage.look(place)
        assert exactly(found) == exactly(stage.new), f"killed before call {number}"
        assert problems <= {"orphaned"}, f"killed before call {number}"


AMENDMENTS: dict[str, Callable[[DiskDict], object]] = {
    "expire": lambda d: d.expire("a", 5),
    "persist": lambda d: d.persist("b"),
    "rename": lambda d: d.rename("a", "c"),
}


@pytest.mark.parametrize("change", AMENDMENTS)
@both_homes
def test_index_on_disk_knows_when_it_is_old(quick: Path, home: str, change: str) -> None:
    """What an index was kept of is looked at again when it was changed by a process that died, be it by attributes."""
    with opened(quick / "store", At()) as d:
        d["a"] = b"first"
        d.set("b", b"second", ttl=5)
        time.sleep(0.03)  # of what changed in the last 10 ms no index is believed
    d = opened(quick / "store", At())
    AMENDMENTS[change](d)
    d._folder.abandon()

    with opened(quick / "store", At(deeds.START + 10)) as d:
        assert len(d) == len(list(d)) == {"expire": 0, "persist": 2, "rename": 1}[change]


@pytest.mark.parametrize("scene", ["first put", "put long key", "overwrite", "delete", "expire", "rename"])
@both_homes
def test_full_durability_syncs_in_order(crew: Crew, quick: Path, home: str, scene: str) -> None:
    """A change is on disk in the journal before it is acknowledged, and no file is touched before that."""
    stage = Stage(crew, quick, home, scene)
    with crew.actor() as actor:
        acknowledged, finished = actor.ask("place.watch()", place=stage.place._replace(durability="full"))

    calls = [name for name in acknowledged if name in faults.CHANGING | {"fsync"}]
    assert calls[-1] == "fsync", calls
    assert not {"replace", "unlink", "setxattr"} & set(calls), calls
    assert {"replace", "unlink", "setxattr"} & set(finished)

"""Killed at any moment: what was acknowledged is there, what was being done is old or new."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import faults
import pytest
from crash_child import Place
from crew import Crew
from deeds import At, opened
from mounts import CannotMountError, mounted
from stage import Stage, all_homes, both_homes, each_durability, scenes_by_durability
from witness import witness


@each_durability
@all_homes
def test_killed_at_random(crew: Crew, quick: Path, tmp_path: Path, home: str, durability: str) -> None:
    """What was acknowledged is there, what was being done is old or new, and nothing is torn: 216 kills."""
    witness(crew, quick if home == "sidecars" else tmp_path, home, durability, stores=2, rounds=12)


def test_killed_at_random_without_attributes(crew: Crew, tmp_path: Path, announce: Callable[[str], None]) -> None:
    """The same where the kernel itself knows no attributes: 40 kills."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(mounted(tmp_path / "ramfs", "-t", "ramfs", "-o", "mode=0700", "ramfs"))
        except CannotMountError as error:
            announce(f"40 kills on a mounted ramfs ({error}). 72 with calls made to refuse attributes were.")
            pytest.skip("cannot mount a ramfs")
        witness(crew, folder, "ramfs", "process", stores=2, rounds=20)


@pytest.mark.torture
@each_durability
@all_homes
def test_killed_at_random_for_long(crew: Crew, quick: Path, home: str, durability: str) -> None:
    """20,250 kills."""
    witness(crew, quick, home, durability, stores=25, rounds=90)


@scenes_by_durability
@both_homes
def test_killed_before_each_call(crew: Crew, quick: Path, home: str, scene: str, durability: str) -> None:
    """Wherever a change stops, its key is old or new and the next process finds the store open."""
    stage = Stage(crew, quick, home, scene, durability)
    assert stage.calls

    for number in range(1, stage.calls + 1):
        place = stage.copy()
        with pytest.raises(EOFError):
            stage.play(place, faults.Kill(number))
        found, problems = stage.look(place)
        assert stage.allows(found), f"killed before call {number}"
        assert problems <= stage.problems | {"orphaned"}, f"killed before call {number}"


@both_homes
def test_killed_before_each_call_of_making(crew: Crew, quick: Path, home: str) -> None:
    """A store that is half made is made by the next who opens it."""
    with crew.actor() as actor:
        calls = actor.ask("place.make(fate)", place=Place(quick / "whole", home, "put"), fate=faults.Kill(0))
    assert calls

    for number in range(1, calls + 1):
        place = Place(quick / str(number) / "store", home, "put")
        with crew.actor() as actor, pytest.raises(EOFError):
            actor.ask("place.make(fate)", place=place, fate=faults.Kill(number))
        with opened(place.folder, At()) as d:
            assert dict(d) == {}
            d["a"] = b"first"
            assert d.verify().ok

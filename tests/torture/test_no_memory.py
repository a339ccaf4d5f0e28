"""Memory that cannot be allocated."""

from __future__ import annotations

import random
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from crew import Crew
from stage import FEW, Stage, both_homes, each_durability
from tallies import tally

MANY = 1_000_000  # more allocations than any change has


@pytest.fixture(autouse=True)
def needs_failing_allocations(announce: Callable[[str], None]) -> None:
    """Leave it out where Python comes without the module that makes allocations fail."""
    if find_spec("_testcapi") is None:
        announce("memory that cannot be allocated: this Python has no module _testcapi.")
        pytest.skip("no _testcapi")


def starve(plain: Crew, crew: Crew, quick: Path, home: str, scene: str, durability: str, places: range) -> int:
    stage = Stage(crew, quick, home, scene, durability)
    with plain.actor() as actor:
        trials = actor.ask("place.starve(places)", place=stage.place, places=places)
    for trial in trials:
        stage.judge(trial, {"orphaned", "unfinished"})
    tally["allocations that failed"] += len(trials)
    return len(trials)


@each_durability
@pytest.mark.parametrize("home", ["attributes"], indirect=True)
@pytest.mark.parametrize("scene", ["overwrite", "rename", "transaction"])
def test_an_allocation_fails(plain: Crew, crew: Crew, quick: Path, home: str, scene: str, durability: str) -> None:
    """With no memory at any moment, here each 29th, a change is made or not, and the handle goes on."""
    places = range(random.randrange(1, 30), MANY, 29)
    assert starve(plain, crew, quick, home, scene, durability, places)


@pytest.mark.torture
@each_durability
@both_homes
@pytest.mark.parametrize("scene", FEW)
def test_each_allocation_fails(plain: Crew, crew: Crew, quick: Path, home: str, scene: str, durability: str) -> None:
    """The same at every moment."""
    assert starve(plain, crew, quick, home, scene, durability, range(1, MANY))

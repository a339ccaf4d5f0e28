"""Ctrl-C at any place."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from crew import Crew
from stage import FEW, Stage, all_homes, both_homes, each_durability, each_scene
from tallies import tally

MANY = 1_000_000  # more places than any change has
STREAMS_BEHIND = (
    "put file over long key",
    "move in over heavy",
    "write over long key",
    "copy",
    "move over",
    "upload instead",
)


def interrupt(
    crew: Crew,
    plain: Crew,
    quick: Path,
    home: str,
    scene: str,
    places: range,
    *,
    loaded: bool,
    durability: str = "process",
) -> int:
    stage = Stage(crew, quick, home, scene, durability)
    with plain.actor() as actor:
        names = {"place": stage.place, "places": places, "loaded": loaded}
        trials = actor.ask("place.interrupt(places, loaded=loaded)", **names)
    for trial in trials:
        stage.judge(trial, {"orphaned", "unfinished"})
    tally["interruptions"] += len(trials)
    return len(trials)


@both_homes
@pytest.mark.parametrize(
    "scene",
    [
        "overwrite expired",
        "overwrite by heavy",
        "delete long key",
        "describe",
        "rename over expired",
        "close",
        "upload over and instead",
        "put file",
        "move in",
        "write over long key",
        "move heavy over",
    ],
)
def test_interrupted(crew: Crew, plain: Crew, quick: Path, home: str, scene: str) -> None:
    """After a Ctrl-C at any place, here every seventeenth, the dict says what is on disk, can be written and closed."""
    assert interrupt(crew, plain, quick, home, scene, range(random.randrange(1, 17), MANY, 17), loaded=True)


@pytest.mark.parametrize("durability", ["interval", "full"])
@both_homes
@pytest.mark.parametrize("scene", ["overwrite", "delete", "rename", "transaction"])
def test_interrupted_before_the_files_follow(
    crew: Crew, plain: Crew, quick: Path, home: str, scene: str, durability: str
) -> None:
    """The same with the journal first, here at every twenty-ninth place."""
    places = range(random.randrange(1, 29), MANY, 29)
    assert interrupt(crew, plain, quick, home, scene, places, loaded=True, durability=durability)


@pytest.mark.torture
@pytest.mark.parametrize("durability", ["interval", "full"])
@both_homes
@pytest.mark.parametrize("scene", [*FEW, *STREAMS_BEHIND])
def test_interrupted_everywhere_before_the_files_follow(
    crew: Crew, plain: Crew, quick: Path, home: str, scene: str, durability: str
) -> None:
    """The same at every place."""
    assert interrupt(crew, plain, quick, home, scene, range(1, MANY), loaded=True, durability=durability)


@pytest.mark.torture
@both_homes
@each_scene
def test_interrupted_everywhere(crew: Crew, plain: Crew, quick: Path, home: str, scene: str) -> None:
    """The same at every place of every change."""
    assert interrupt(crew, plain, quick, home, scene, range(1, MANY), loaded=scene != "popitem")


def interrupt_by_timer(plain: Crew, folder: Path, home: str, durability: str, seed: int, rounds: int) -> None:
    with plain.actor() as actor:
        names = {"folder": folder, "home": home, "durability": durability, "seed": seed, "rounds": rounds}
        met, wrong = actor.ask("crash_child.interrupted_by_timer(folder, home, durability, seed, rounds)", **names)
    assert not wrong
    assert met
    tally["interruptions by a timer"] += met


@each_durability
@all_homes
def test_interrupted_by_timer(plain: Crew, quick: Path, home: str, durability: str) -> None:
    """Signals that come when they come: 9 times 200 changes, most of them interrupted."""
    interrupt_by_timer(plain, quick / "s", home, durability, 1, 200)


@pytest.mark.torture
@each_durability
@all_homes
def test_interrupted_by_timer_for_long(plain: Crew, quick: Path, home: str, durability: str) -> None:
    """36,000 changes, of which more than 20,000 are interrupted."""
    for seed in range(20):
        interrupt_by_timer(plain, quick / str(seed), home, durability, seed, 200)

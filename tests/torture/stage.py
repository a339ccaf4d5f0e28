"""A change in a folder, made again and again while something goes wrong at another of its calls or places each time."""

from __future__ import annotations

import shutil
from pathlib import Path

import faults
import pytest
from crash_child import DURABILITIES, Place, Trial
from crew import Crew
from deeds import KEYS, SCENES, At, Records, allowed, exactly, opened, seen_in

both_homes = pytest.mark.parametrize("home", ["attributes", "sidecars"], indirect=True)
all_homes = pytest.mark.parametrize("home", ["attributes", "sidecars", "both"], indirect=True)
each_scene = pytest.mark.parametrize("scene", SCENES)
STREAMS = {
    scene for scene in SCENES if scene.startswith(("upload", "put file", "put small", "move", "write", "copy", "get"))
}
FEW_STREAMS = ("upload over and instead", "put file", "move in", "move heavy over")
FEW = ("first put", "put long key", "overwrite heavy by heavy", "delete", "expire", "rename", "transaction", "clear")
scenes_by_durability = pytest.mark.parametrize(
    ("scene", "durability"),
    [
        pytest.param(scene, durability, marks=[pytest.mark.torture] * (scene not in often))
        for durability in DURABILITIES
        for often in [(SCENES.keys() - STREAMS) | {*FEW_STREAMS} if durability == "process" else FEW]
        for scene in SCENES
    ],
)
"""With the journal first all scenes do the same to the files as without, so that a few will do each time."""
each_durability = pytest.mark.parametrize("durability", DURABILITIES)


class Stage:
    """A scene in a folder, and what is there before and after the change."""

    def __init__(self, crew: Crew, folder: Path, home: str, scene: str, durability: str = "process") -> None:
        self._crew = crew
        self._copies = 0
        self.place = Place(folder / scene, home, scene, durability)
        with crew.actor() as actor:
            actor.run("place.prepare()", place=self.place)
        self.problems: set[str] = set()
        self.old, self.problems = self.look(self.copy())
        after = self.copy()
        self.calls = self.play(after, faults.Kill(0))
        self.new, _ = self.look(after)

    def copy(self) -> Place:
        """Return the place as the scene begins."""
        self._copies += 1
        folder = self.place.folder.with_name(f"{self.place.scene}-{self._copies}")
        return self.place._replace(folder=shutil.copytree(self.place.folder, folder))

    def play(self, place: Place, fate: faults.Plan) -> int:
        """Make the change there, in a process of its own."""
        with self._crew.actor() as actor:
            return int(actor.ask("place.play(fate)", place=place, fate=fate))

    def look(self, place: Place) -> tuple[Records, set[str]]:
        """Return what is in a folder and what is wrong with its files."""
        with opened(place.folder, At(place.now)) as d:
            alone = {key: d.get(key) for key in KEYS}
            found = seen_in(d)
            assert len(d) == len(found)
            problems = {each.problem for each in d.verify().problems}
        assert alone == {key: found[key].value if key in found else None for key in KEYS}
        return found, set(problems)

    def allows(self, found: Records) -> bool:
        """Whether this may be there after a sudden end."""
        return allowed(found, self.old, self.new, SCENES[self.place.scene].moves)

    def judge(self, trial: Trial, harmless: set[str]) -> None:
        """Assert what holds of every trial."""
        where = f"{self.place.scene}: {trial}"
        assert not trial.astray, where
        assert trial.problems <= self.problems | harmless, where
        assert self.allows(trial.reopened), where
        assert exactly(trial.seen or trial.reopened) == exactly(trial.reopened), where

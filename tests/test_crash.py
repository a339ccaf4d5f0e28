"""Killed, failing, full and interrupted: whatever happens at whatever moment, each key is old or new."""

from __future__ import annotations

import errno
import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import crash_child
import faults
import pytest
from crash_child import HOMES, SCENES, At, Records, exactly, foreseen, opened, plan, seen_in
from crew import Actor, Crew

from diskdict import DiskDict

T0 = crash_child.START


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    """Processes whose system calls are counted."""
    with Crew("faults:install", "crash_child") as crew:
        yield crew


@pytest.fixture
def home(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where attributes are kept, in this process too."""
    monkeypatch.setattr(crash_child.attributes, "calls", crash_child.attributes.calls)
    monkeypatch.setattr(crash_child.attributes, "PACKAGE", crash_child.attributes.PACKAGE)
    crash_child.use(request.param)
    return request.param


# ---- killed at random moments


class Witness:
    """Knows what a folder must hold, and has one process after the other killed that writes to it."""

    def __init__(self, crew: Crew, folder: Path, home: str, seed: int) -> None:
        self._crew = crew
        self._folder = folder
        self._home = home
        self._chance = random.Random(seed)
        self._first = 0
        self.records: Records = {}

    def round(self, seed: int) -> None:
        """Have a process killed while it writes; see what is there."""
        with self._crew.actor() as writer:
            writer.start(
                "crash_child.write_until_killed(say, folder, home, seed, first)",
                folder=self._folder,
                home=self._home,
                seed=seed,
                first=self._first,
            )
            told = self._killed(writer)
        deeds = plan(seed, self._first, HOMES[self._home])
        for _ in range(told):
            self.records = foreseen(self.records, next(deeds))
        self._compare(next(deeds))
        self._first += told + 1

    def _killed(self, writer: Actor) -> int:
        words = [writer.hear() for _ in range(self._chance.randrange(1, 12))]
        end = time.perf_counter() + self._chance.random() * 0.0005
        while time.perf_counter() < end:
            pass
        writer.kill()
        words += writer.last_words()
        assert words == list(range(self._first, self._first + len(words)))
        return len(words)

    def _compare(self, flying: crash_child.Deed) -> None:
        with opened(self._folder, At(flying.now), readonly=self._chance.random() < 0.3) as d:
            alone = {key: d.get(key) for key in crash_child.KEYS}
            found = seen_in(d)
            report = d.verify()
        old = crash_child.alive(self.records, flying.now)
        new = foreseen(self.records, flying)
        assert exactly(found) in (exactly(old), exactly(new))
        assert alone == {key: found[key].value if key in found else None for key in crash_child.KEYS}
        assert {each.problem for each in report.problems} <= {"orphaned", "unfinished"}
        self.records = found


@pytest.mark.parametrize("home", HOMES, indirect=True)
def test_killed_at_random(crew: Crew, folder: Path, home: str) -> None:
    for start in range(3):
        witness = Witness(crew, folder / str(start), home, start)
        for seed in range(25):
            witness.round(seed)


# ---- killed before each call


class Stage:
    """A scene in a folder, to be copied for each try; what is there before and after."""

    def __init__(self, crew: Crew, folder: Path, home: str, scene: str) -> None:
        self.crew = crew
        self.home = home
        self.scene = scene
        self._folder = folder
        self._copies = 0
        with crew.actor() as actor:
            self.now = actor.ask("crash_child.prepare(folder, home, scene)", folder=folder, home=home, scene=scene)
        self.old = self.seen(self.copy())
        after = self.copy()
        with crew.actor() as actor:
            fate = self.play(actor, after, faults.Plan())
        self.calls = fate.count
        self.new = self.seen(after)

    def copy(self) -> Path:
        """Return a folder as the scene begins."""
        self._copies += 1
        return shutil.copytree(self._folder, self._folder.with_name(f"{self._folder.name}-{self._copies}"))

    def play(self, actor: Actor, folder: Path, fate: faults.Plan) -> faults.Plan:
        """Make the change."""
        names = {"folder": folder, "home": self.home, "scene": self.scene, "now": self.now, "fate": fate}
        return actor.ask("crash_child.play(folder, home, scene, now, fate)", **names)

    def seen(self, folder: Path) -> Records:
        """Return what is in the folder, which must have nothing torn or without attributes."""
        with opened(folder, At(self.now)) as d:
            alone = {key: d.get(key) for key in crash_child.KEYS}
            found = seen_in(d)
            report = d.verify()
        assert {each.problem for each in report.problems} <= {"orphaned"}
        assert alone == {key: found[key].value if key in found else None for key in crash_child.KEYS}
        return found


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place in memory, where it has attributes: there, thousands of folders cost nothing."""
    return tmp_path_factory.mktemp("crash")


@pytest.mark.parametrize("home", ["attributes", "sidecars"], indirect=True)
@pytest.mark.parametrize("scene", SCENES)
def test_killed_before_each_call(crew: Crew, folder: Path, home: str, scene: str) -> None:
    """Wherever a change stops, its key is old or new."""
    stage = Stage(crew, folder, home, scene)
    bad = []
    for number in range(1, stage.calls + 1):
        place = stage.copy()
        with crew.actor() as actor, pytest.raises(EOFError):
            stage.play(actor, place, faults.Kill(number))

        try:
            found = stage.seen(place)
            assert exactly(found) in (exactly(stage.old), exactly(stage.new))
        except Exception as e:
            bad.append((number, str(e)[:1500]))
    assert not bad

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
            fate = self.play(actor, after, faults.Kill(0))
        self.calls = fate.count
        self.new = self.seen(after)

    def allows(self, found: Records) -> bool:
        """Whether this may be what a change leaves that came to a sudden end."""
        if exactly(found) in (exactly(self.old), exactly(self.new)):
            return True
        # Attributes cannot be changed and a file renamed in one step: the key may be last under its old name, and it may
        # lack its unusual spelling.
        moves = SCENES[self.scene].moves
        if moves is None:
            return False
        last = {key: seen for key, seen in self.old.items() if key != moves} | {moves: self.old[moves]}
        return list(found.items()) in (list(last.items()), list(self.new.items()))

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
            assert stage.allows(found)
        except Exception as e:
            bad.append((number, str(e)[:1500]))
    assert not bad


# ---- calls that fail

KINDS = {
    "EIO": lambda number: faults.Fail(number, errno.EIO),
    "ENOSPC": lambda number: faults.Fail(number, errno.ENOSPC),
    "EIO when it is done": lambda number: faults.DoAndFail(number, errno.EIO),
    "half": faults.Half,
}


@pytest.mark.parametrize("loaded", [False, True], ids=["", "loaded"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("home", ["attributes", "sidecars"], indirect=True)
def test_each_call_fails_once(crew: Crew, folder: Path, home: str, kind: str, loaded: bool) -> None:
    bad = []
    for scene in (os.environ.get("ONLY", "").split(",") if os.environ.get("ONLY") else SCENES):
        stage = Stage(crew, folder / scene, home, scene)
        fates = [KINDS[kind](number) for number in range(1, 200)]
        with crew.actor() as actor:
            trials = actor.ask(
                "list(crash_child.endure_all(folder, home, scene, now, fates, loaded=loaded))",
                folder=folder / scene,
                home=home,
                scene=scene,
                now=stage.now,
                fates=fates,
                loaded=loaded,
            )
        for number, trial in enumerate(trials, 1):
            what = []
            old, new = exactly(stage.old), exactly(stage.new)
            if trial.error is None and exactly(trial.reopened) != new: what.append("not new")
            if trial.error is not None and SCENES[scene].commit and exactly(trial.reopened) != (new if trial.committed else old): what.append(f"should be {trial.committed and 'new' or 'old'}: {trial.reopened}")
            if not stage.allows(trial.reopened): what.append("neither %s" % trial.reopened)
            if trial.seen and exactly(trial.seen) != exactly(trial.reopened): what.append("disagrees\n   %s\n   %s" % (trial.seen, trial.reopened))
            what += trial.astray
            if what: bad.append((scene, number, trial.fired, trial.error, trial.committed, what))
    print(len(bad))
    for b in bad: print(*[str(x)[:700] for x in b])
    assert not bad


# ---- interrupted


@pytest.fixture(scope="module")
def plain() -> Iterator[Crew]:
    """Processes that make their system calls as ever."""
    with Crew("crash_child") as crew:
        yield crew


@pytest.mark.parametrize("lock", ["None", "threading.Lock"])
@pytest.mark.parametrize("loaded", [False, True], ids=["", "loaded"])
@pytest.mark.parametrize("home", ["attributes", "sidecars"], indirect=True)
def test_interrupted_everywhere(crew: Crew, plain: Crew, folder: Path, home: str, loaded: bool, lock: str) -> None:
    bad = []
    for scene in (os.environ.get("ONLY", "").split(",") if os.environ.get("ONLY") else SCENES):
        stage = Stage(crew, folder / scene, home, scene)
        with plain.actor() as actor:
            results = actor.ask(
                f"list(crash_child.stopped_everywhere(folder, home, scene, now, loaded=loaded, lock=crash_child.{lock}))" if lock != "None" else 
                "list(crash_child.stopped_everywhere(folder, home, scene, now, loaded=loaded))",
                folder=folder / scene,
                home=home,
                scene=scene,
                now=stage.now,
                loaded=loaded,
            )
        print(scene, len(results))
        for number, r in enumerate(results, 1):
            what = []
            if not stage.allows(r.reopened): what.append("neither %s" % r.reopened)
            if r.seen and exactly(r.seen) != exactly(r.reopened): what.append("disagrees\n   %s\n   %s" % (r.seen, r.reopened))
            what += r.astray
            if what: bad.append((scene, number, r.where, what))
    print(len(bad))
    for b in bad: print(*[str(x)[:500] for x in b])
    assert not bad


# ---- opening

@pytest.mark.parametrize("kind", ["EIO", "ENOSPC", "EIO when it is done"])
@pytest.mark.parametrize("scene", ["put", None])
@pytest.mark.parametrize("home", ["attributes", "sidecars"], indirect=True)
def test_open_fails(crew: Crew, folder: Path, home: str, kind: str, scene: str | None) -> None:
    now, old = T0, {}
    if scene:
        stage = Stage(crew, folder, home, scene)
        now, old = stage.now, stage.old
    fates = [KINDS[kind](number) for number in range(1, 200)]
    with crew.actor() as actor:
        trials = actor.ask("list(crash_child.open_failing(folder, home, scene, now, fates))",
                folder=folder,
                home=home,
                scene=scene,
                now=now,
                fates=fates,
        )
    print(len(trials))
    bad = []
    for n, t in enumerate(trials):
        what = list(t.astray)
        if exactly(t.seen) != exactly(old): what.append("differs")
        if what: bad.append((n, t.fired, t.error, what))
    for b in bad: print(b)
    assert not bad


@pytest.mark.parametrize("home", HOMES, indirect=True)
def test_interrupted_by_timer(plain: Crew, folder: Path, home: str) -> None:
    with plain.actor() as actor:
        met, wrong = actor.ask("crash_child.interrupted_by_timer(folder, home, 1, 400)", folder=folder, home=home)
    print(met)
    print(wrong[:10])
    assert not wrong
    assert met > 100

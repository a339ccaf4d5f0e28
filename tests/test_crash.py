"""Killed, failing, full and interrupted: whatever happens at whatever moment, each key is old or new."""

from __future__ import annotations

import errno
import faulthandler
import itertools
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import deeds
import faults
import pytest
from crash_child import DURABILITIES, Place, Trial
from crew import Actor, Crew
from deeds import HOMES, KEYS, SCENES, At, Deed, Records, alive, allowed, exactly, foreseen, opened, plan, seen_in
from mounts import CannotMountError, Disk, image, mounted

from diskdict import DiskDict, attributes
from diskdict.attributes import supported

MANY = 1_000_000  # more calls and places than any change has


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    """Processes whose system calls are counted."""
    with Crew("faults:install", "crash_child") as crew:
        yield crew


@pytest.fixture(scope="module")
def plain() -> Iterator[Crew]:
    """Processes that make their system calls as ever."""
    with Crew("crash_child") as crew:
        yield crew


@pytest.fixture
def home(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where attributes are kept, in this process too."""
    monkeypatch.setattr(attributes, "calls", attributes.calls)
    monkeypatch.setattr(attributes, "PACKAGE", attributes.PACKAGE)
    deeds.use(request.param)
    return str(request.param)


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where the system has that with attributes: thousands of stores are made in it."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="diskdict-tests-") as folder:
        probe = Path(folder, "probe")
        with probe.open("wb") as file:
            has_attributes = supported(file.fileno(), writable=True)
        yield Path(folder) if has_attributes else tmp_path


both_homes = pytest.mark.parametrize("home", ["attributes", "sidecars"], indirect=True)
all_homes = pytest.mark.parametrize("home", ["attributes", "sidecars", "both"], indirect=True)
each_scene = pytest.mark.parametrize("scene", SCENES)
FEW = ("first put", "put long key", "overwrite heavy by heavy", "delete", "expire", "rename", "transaction", "clear")
scenes_by_durability = pytest.mark.parametrize(
    ("scene", "durability"),
    [
        pytest.param(scene, durability, marks=[pytest.mark.torture] * (durability != "process" and scene not in FEW))
        for scene in SCENES
        for durability in DURABILITIES
    ],
)
"""With the journal first all scenes do the same to the files as without, so that a few will do each time."""
each_durability = pytest.mark.parametrize("durability", DURABILITIES)


# ---- killed at random moments


class Witness:
    """Knows what a folder must hold, and has one process after the other killed that writes to it."""

    def __init__(self, crew: Crew, folder: Path, home: str, durability: str, seed: int) -> None:
        self._crew = crew
        self._folder = folder
        self._home = home
        self._durability = durability
        self._seed = seed
        self._first = 0
        self._records: Records = {}

    def round(self, number: int) -> None:
        """Have a process killed while it writes; see what is there."""
        chance = random.Random(f"{self._seed} {number}")
        seed = chance.randrange(1_000_000)
        with self._crew.actor() as writer:
            names = {"folder": self._folder, "home": self._home, "seed": seed, "first": self._first}
            names["durability"] = self._durability
            self._write(writer, names)
            certain, told = self._ended(writer, chance)
        row = plan(seed, self._first, HOMES[self._home])
        for deed in itertools.islice(row, certain):
            self._records = foreseen(self._records, deed)
        flying = list(itertools.islice(row, told - certain + 1))
        self._compare(flying, chance, f"seed {self._seed}, round {number}")
        self._first += told + 1

    def _write(self, writer: Actor, names: dict[str, object]) -> None:
        writer.start("crash_child.write_until_killed(say, folder, home, seed, first, durability)", **names)

    def _ended(self, writer: Actor, chance: random.Random) -> tuple[int, int]:
        """Kill the writer within a deed, after a few; return how many must be there, and how many it told of."""
        told = [writer.hear() for _ in range(chance.randrange(1, 12))]
        end = time.perf_counter() + chance.random() * 0.0005
        while time.perf_counter() < end:
            pass
        writer.kill()
        told += writer.last_words()
        assert told == list(range(self._first, self._first + len(told)))
        return len(told), len(told)

    def _compare(self, flying: list[Deed], chance: random.Random, where: str) -> None:
        now = flying[-1].now
        with opened(self._folder, At(now), readonly=chance.random() < 0.3) as d:
            alone = {key: d.get(key) for key in KEYS}
            found, length = seen_in(d), len(d)
            problems = {each.problem for each in d.verify().problems}
        assert self._explained(found, flying, now), f"{where}: {flying} left {exactly(found)} of {self._records}"
        assert alone == {key: found[key].value if key in found else None for key in KEYS}, where
        assert length == len(found), where
        assert problems <= {"orphaned", "unfinished"}, where
        self._records = found

    def _explained(self, found: Records, flying: list[Deed], now: float) -> bool:
        """Whether this is there if one of the deeds, in their row, was the last that came through, or came half."""
        old = self._records
        for deed in flying:
            new = foreseen(old, deed)
            if allowed(found, alive(old, now), alive(new, now), deed.moves):
                return True
            old = new
        return False


def witness(crew: Crew, folder: Path, home: str, durability: str, stores: int, rounds: int) -> None:
    for seed in range(stores):
        witness = Witness(crew, folder / str(seed), home, durability, seed)
        for number in range(rounds):
            witness.round(number)


@each_durability
@all_homes
def test_killed_at_random(crew: Crew, quick: Path, tmp_path: Path, home: str, durability: str) -> None:
    """What was acknowledged is there, what was being done is old or new, and nothing is torn: 450 kills."""
    witness(crew, quick if home == "sidecars" else tmp_path, home, durability, stores=2, rounds=25)


def test_killed_at_random_without_attributes(crew: Crew, tmp_path: Path, announce: Callable[[str], None]) -> None:
    """The same where the kernel itself knows no attributes: 40 kills."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(mounted(tmp_path / "ramfs", "-t", "ramfs", "-o", "mode=0700", "ramfs"))
        except CannotMountError as error:
            announce(f"40 kills on a mounted ramfs ({error}). 75 with calls made to refuse attributes were.")
            pytest.skip("cannot mount a ramfs")
        witness(crew, folder, "ramfs", "process", stores=2, rounds=20)


@pytest.mark.torture
@each_durability
@all_homes
def test_killed_at_random_for_long(crew: Crew, quick: Path, home: str, durability: str) -> None:
    """20,250 kills."""
    faulthandler.cancel_dump_traceback_later()  # it would end the run after two minutes
    witness(crew, quick, home, durability, stores=25, rounds=90)


# ---- power cuts


class PowerCut(Witness):
    """Knows what a folder must hold if what was acknowledged is on disk, and has the power cut while it is written."""

    def __init__(self, crew: Crew, disk: Disk, home: str, durability: str, seed: int) -> None:
        super().__init__(crew, disk.point / str(seed), home, durability, seed)
        self._disk = disk

    def _write(self, writer: Actor, names: dict[str, object]) -> None:
        writer.start("crash_child.write_until_power_fails(say, folder, home, seed, first, durability)", **names)

    def _ended(self, writer: Actor, chance: random.Random) -> tuple[int, int]:
        stamps = [writer.hear() for _ in range(chance.randrange(1, 8 if self._durability == "full" else 2_000))]
        time.sleep(chance.random() * 0.01)
        cut = time.monotonic()
        self._disk.cut_power()
        with suppress(EOFError, OSError):
            while True:
                stamps.append(writer.hear())
        writer.kill()
        self._disk.unmount()
        self._disk.mount()
        # A kernel that is being stopped calls some syncs done that were not.
        certain = cut if self._durability == "full" else cut - LATE
        return sum(stamp < certain for stamp in stamps), len(stamps)


LATE = 0.2
"""Seconds after which a writer with an interval of 3 ms has certainly had a sync, on a machine as busy as that."""


def cut(
    crew: Crew,
    tmp_path: Path,
    announce: Callable[[str], None],
    home: str,
    durability: str,
    *,
    stores: int,
    rounds: int,
    kind: str = "ext4",
) -> None:
    try:
        disk = Disk(tmp_path / "disk", 96 << 20 if kind == "ext4" else 320 << 20, kind)
    except CannotMountError as error:
        announce(f"power cuts on {kind}: this user cannot make and mount an image ({error}).")
        pytest.skip("cannot mount an image")
    try:
        for seed in range(stores):
            witness = PowerCut(crew, disk, home, durability, seed)
            for number in range(rounds):
                witness.round(number)
    finally:
        disk.unmount()


@pytest.mark.parametrize("durability", ["interval", "full"])
@both_homes
def test_power_cut(crew: Crew, tmp_path: Path, announce: Callable[[str], None], home: str, durability: str) -> None:
    """After a power cut there is what was acknowledged, or with interval what was a moment ago, none in part: 40."""
    cut(crew, tmp_path, announce, home, durability, stores=1, rounds=10)


@pytest.mark.torture
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
@pytest.mark.parametrize("durability", ["interval", "full"])
@both_homes
def test_power_cut_for_long(
    crew: Crew, tmp_path: Path, announce: Callable[[str], None], home: str, durability: str, kind: str
) -> None:
    """4,000 cuts."""
    faulthandler.cancel_dump_traceback_later()
    cut(crew, tmp_path, announce, home, durability, stores=20, rounds=25, kind=kind)


# ---- stopped at each of its calls


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


# ---- calls that fail


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


CODES = ("EIO", "ENOSPC", "EDQUOT", "EMFILE", "EINTR", "EROFS", "EACCES", "ENOMEM")


@pytest.mark.torture
@pytest.mark.parametrize("code", CODES)
@each_durability
@both_homes
@pytest.mark.parametrize("scene", FEW)
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


# ---- no room


def test_values_larger_than_files_may_be(plain: Crew, folder: Path) -> None:
    """A value that does not fit raises and leaves nothing; one that fits goes on working."""
    with plain.actor() as actor:
        wrong = actor.ask("crash_child.fill(folder, 65_536)", folder=folder)

    assert not wrong


@pytest.fixture
def small(tmp_path: Path, announce: Callable[[str], None]) -> Iterator[Path]:
    """A filesystem with room for few files."""
    with ExitStack() as stack:
        try:
            point = stack.enter_context(image(tmp_path / "image", 4 << 20, "-N", "64", "-I", "256"))
        except CannotMountError as error:
            announce(f"writing to a filesystem that is full: this user cannot mount an image ({error}).")
            pytest.skip("cannot mount an image")
        yield point


def test_no_inode_is_left(small: Path) -> None:
    """Even an overwrite needs a new file: it raises and keeps the old value. Deleting makes room again."""
    with opened(small / "store", At()) as d:
        with pytest.raises(OSError, match="No space left"):
            d.update((f"key {number}", b"first") for number in range(1_000))
        assert not d
        with pytest.raises(OSError, match="No space left"):
            for number in range(1_000):
                d[f"key {number}"] = b"first"
        there = dict(d)
        first, second, *_ = there

        for key in (first, "one more", "long " * 60):
            with pytest.raises(OSError, match="No space left"):
                d[key] = b"second"
        assert dict(d) == there
        assert d.verify().ok
        del d[first]
        d[second] = b"second"
        assert dict(d) == {key: value for key, value in (there | {second: b"second"}).items() if key != first}
    with opened(small / "store", At()) as d:
        assert d[second] == b"second"
        assert d.verify().ok


def test_no_block_is_left(small: Path) -> None:
    """A value that finds no room raises and keeps the old one; nothing is left of it."""
    with opened(small / "store", At()) as d:
        d["a"] = b"first"
        d["large"] = b"x" * 100_000
        with (small / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space left"):
            filler.writelines(itertools.repeat(b"x" * 4_096))

        for key in ("a", "large", "one more"):
            with pytest.raises(OSError, match="No space left"):
                d[key] = b"y" * 200_000
        assert dict(d) == {"a": b"first", "large": b"x" * 100_000}
        assert d.verify().ok
        del d["large"]
        d["a"] = b"second"
        assert dict(d) == {"a": b"second"}


# ---- interrupted


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
    return len(trials)


@both_homes
@pytest.mark.parametrize(
    "scene", ["overwrite expired", "overwrite by heavy", "delete long key", "describe", "rename over expired", "close"]
)
def test_interrupted(crew: Crew, plain: Crew, quick: Path, home: str, scene: str) -> None:
    """After a Ctrl-C at any place, here every eighth, the dict says what is on disk, and can be written and closed."""
    assert interrupt(crew, plain, quick, home, scene, range(random.randrange(1, 8), MANY, 8), loaded=True)


@pytest.mark.parametrize("durability", ["interval", "full"])
@both_homes
@pytest.mark.parametrize("scene", ["overwrite", "delete", "rename", "transaction"])
def test_interrupted_before_the_files_follow(
    crew: Crew, plain: Crew, quick: Path, home: str, scene: str, durability: str
) -> None:
    """The same with the journal first, here at every thirteenth place."""
    places = range(random.randrange(1, 13), MANY, 13)
    assert interrupt(crew, plain, quick, home, scene, places, loaded=True, durability=durability)


@pytest.mark.torture
@pytest.mark.parametrize("durability", ["interval", "full"])
@both_homes
@pytest.mark.parametrize("scene", FEW)
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


@each_durability
@all_homes
def test_interrupted_by_timer(plain: Crew, quick: Path, home: str, durability: str) -> None:
    """Signals that come when they come: 9 times 200 changes, most of them interrupted."""
    with plain.actor() as actor:
        names = {"folder": quick / "s", "home": home, "durability": durability}
        met, wrong = actor.ask("crash_child.interrupted_by_timer(folder, home, durability, 1, 200)", **names)

    assert not wrong
    assert met

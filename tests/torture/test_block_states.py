"""What a disk may hold after a power cut, block by block, and a disk that begins to fail."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from blocks import BLOCK, NEEDED, SECTOR, Entry, LoggedDisk, States, cuts
from crew import Crew
from deeds import HOMES, KEYS, At, Deed, Records, alive, allowed, exactly, foreseen, opened, perform, plan, seen_in
from mounts import CannotMountError
from stage import both_homes, each_durability
from tallies import tally
from witness import LATE, Witness

from diskdict import DiskDict
from diskdict.errors import CorruptValueError

SECONDS = {"process": 0.3, "interval": 2 * LATE, "full": 0.3}
"""How long a disk is written to before its states are looked at."""

PAUSES = {"process": 0, "interval": 0.001, "full": 0.0005}
"""Seconds between two deeds. With a journal the files are to follow now and then, without to be on their way always."""
MANY = {"process": 200, "interval": 60, "full": 100}
"""How many states of each disk are looked at."""

Disks = Callable[..., LoggedDisk]


@pytest.fixture
def disks(quick: Path, announce: Callable[[str], None]) -> Iterator[Disks]:
    """Make a disk with such a filesystem, mounted with such options; they go at the end."""
    made: list[LoggedDisk] = []

    def disk(kind: str, *options: str) -> LoggedDisk:
        folder = quick / f"disk {len(made)}"
        folder.mkdir()
        try:
            made.append(LoggedDisk(folder, kind, *options))
        except CannotMountError as error:
            announce(f"crash states and failures of a disk with {kind}: {error}. It takes {NEEDED}.")
            pytest.skip("no disk that notes its writes")
        return made[-1]

    yield disk
    for each in made:
        each.close()


class BlockStates(Witness):
    """Knows what a folder must hold at each moment at which it was written to, and looks at what a disk may hold."""

    def __init__(self, crew: Crew, disk: LoggedDisk, home: str, durability: str, seed: int) -> None:
        super().__init__(crew, disk.point / "store", home, durability, seed)
        self._disk = disk
        self._stamps: list[float] = []
        self._log: list[Entry] = []
        self.fate = f"block-level crash states of {disk.kind}"

    def record(self, sabotage: str = "") -> None:
        """Have a process write, with files of others synced beside it; it runs `sabotage` before."""
        chance = random.Random(self._seed)
        names = {"folder": self._folder, "home": self._home, "seed": self._seed, "durability": self.durability}
        names["pause"] = PAUSES[self.durability]
        with self._crew.actor() as writer, (self._disk.point / "bystander").open("wb", buffering=0) as bystander:
            writer.run(sabotage)
            writer.start("crash_child.write_until_power_fails(say, folder, home, seed, 0, durability, pause)", **names)
            end = time.monotonic() + SECONDS[self.durability]
            while time.monotonic() < end:
                self._stamps.append(writer.hear())
                if chance.random() < 0.05:
                    bystander.write(b"synced")
                    os.fsync(bystander.fileno())
            self._log = self._disk.log()
            writer.kill()
            self._stamps += writer.last_words()
        self._disk.close()

    def violations(self, count: int) -> list[str]:
        """Look at so many states; return what is wrong with them."""
        chance = random.Random(self._seed)
        # btrfs relies on disks that write whole blocks, the others on whole sectors.
        unit = BLOCK if self._disk.kind == "btrfs" else SECTOR
        row = list(itertools.islice(plan(self._seed, 0, HOMES[self._home]), len(self._stamps) + 1))
        after: list[Records] = list(itertools.accumulate(row, foreseen, initial={}))
        first = self._entry_at(self._stamps[0] + LATE) if self.durability == "interval" else 0
        wrong = []
        with closing(States(self._disk, self._log)) as states:
            for cut in cuts(self._log, first, count, chance, unit):
                moment = self._log[cut.at].time
                told = bisect_left(self._stamps, moment)
                certain = told if self.durability == "full" else bisect_left(self._stamps, moment - LATE)
                self._records = after[certain]
                where = f"seed {self._seed}, cut before {cut.at} of {len(self._log)}, {cut.how}"
                try:
                    with states.mounted(cut) as point:
                        self._folder = point / "store"
                        if self.durability == "process" or not (certain or (self._folder / "diskdict.json").exists()):
                            self._compare_each(after[: told + 2], row[told].now)
                        else:
                            self._compare(row[certain : told + 1], chance, where)
                except CannotMountError:
                    # What no filesystem can bear says nothing of what is kept on it.
                    if cut.how != "torn":
                        raise
                    tally[f"{self.fate} that it did not mount"] += 1
                    continue
                except Exception as error:
                    wrong.append(f"{where}: {error!r}"[:2_000])
                tally[self.fate] += 1
        return wrong

    def _entry_at(self, moment: float) -> int:
        return bisect_left(self._log, moment, key=lambda entry: entry.time)

    def _compare_each(self, had: list[Records], now: float) -> None:
        with opened(self._folder, At(now)) as d:
            for key in KEYS:
                with suppress(KeyError, CorruptValueError):
                    value = d[key]
                    assert any(key in records and records[key].value == value for records in had), (
                        key,
                        len(value),
                        value[:30],
                        value[-30:],
                    )
            d["afterwards"] = b"afterwards"
        with opened(self._folder, At(now)) as d:
            assert d["afterwards"] == b"afterwards"


def violations(
    crew: Crew, disks: Disks, home: str, durability: str, *, count: int, kind: str = "ext4", seed: int = 0, **also: str
) -> list[str]:
    states = BlockStates(crew, disks(kind), home, durability, seed)
    states.record(**also)
    return states.violations(count)


@each_durability
@both_homes
def test_states_of_the_disk(plain: Crew, disks: Disks, home: str, durability: str) -> None:
    """Whatever blocks are on the disk after a power cut, the folder holds what its durability promises."""
    assert not violations(plain, disks, home, durability, count=8)


@pytest.mark.torture
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
@each_durability
@both_homes
def test_many_states_of_the_disk(plain: Crew, disks: Disks, home: str, durability: str, kind: str) -> None:
    """The same 10,800 times on three filesystems."""
    for seed in range(5):
        assert not violations(plain, disks, home, durability, count=MANY[durability], kind=kind, seed=seed)


def test_a_sync_that_is_left_out_is_found(plain: Crew, disks: Disks) -> None:
    """These tests find it if "full" does not sync."""
    sabotage = "import os; os.fsync = lambda fd: None"
    assert violations(plain, disks, "attributes", "full", count=10, sabotage=sabotage)


def meet_failure(disk: LoggedDisk, folder: Path, home: str, seed: int, what: str) -> None:
    """Have the disk fail at some moment while a folder on it is changed, and be well again afterwards."""
    chance = random.Random(seed)
    clock = At()
    records: Records = {}
    row = plan(seed, 0, HOMES[home])
    # xfs stops altogether then, and btrfs forgets what it could not write: they need not answer who reads, either.
    no_answer = [] if disk.kind == "ext4" else [OSError]
    with writing(folder, clock) as d:
        for deed in itertools.islice(row, chance.randrange(1, 60)):
            clock.now = deed.now
            perform(d, deed)
            records = foreseen(records, deed)

        disk.fail(what)
        flying = next(deed for deed in row if refused(d, clock, deed, records))
        old = alive(records, flying.now)
        with suppress(*no_answer):
            assert exactly(seen_in(d)) == exactly(old)
        disk.fail("")
        with pytest.raises(OSError, match=r"survive|Read-only|Input/output"):
            d["more"] = b"after the disk has failed"

    disk.remount()
    with opened(folder, clock) as d:
        found = seen_in(d)
        assert allowed(found, old, foreseen(records, flying), flying.moves)
        assert {each.problem for each in d.verify().problems} <= {"orphaned", "unfinished"}
        d["more"] = b"on a disk that is well"
    tally[f"disks with {disk.kind} that began to fail"] += 1


@contextmanager
def writing(folder: Path, clock: At) -> Iterator[DiskDict[Any, Any]]:
    """Open a folder; what could not be made durable is no news when it is closed."""
    d = opened(folder, clock, durability="full", interval=0.003)
    try:
        yield d
    finally:
        with suppress(OSError):
            d.close()


def refused(d: DiskDict[Any, Any], clock: At, deed: Deed, records: Records) -> bool:
    """Whether a change that cannot be made durable is refused; what changes nothing need not be."""
    clock.now = deed.now
    try:
        perform(d, deed)
    except OSError:
        return True
    assert exactly(foreseen(records, deed)) == exactly(alive(records, deed.now)), f"{deed} is acknowledged"
    return False


failing = pytest.mark.parametrize("what", ["write", "flush"])
warned = pytest.mark.filterwarnings("ignore:writing behind failed:RuntimeWarning")
"""The thread that meets the failure first has nobody else to tell."""


@pytest.mark.parametrize("errors", ["continue", "remount-ro"])
@failing
@warned
@both_homes
def test_failing_disk(disks: Disks, home: str, what: str, errors: str) -> None:
    """What a failing disk does not take is refused, old values stay readable, and all that was acknowledged is kept."""
    disk = disks("ext4", f"errors={errors}")
    for seed in range(3):
        meet_failure(disk, disk.point / str(seed), home, seed, what)


@pytest.mark.torture
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
@failing
@warned
@both_homes
def test_failing_disk_for_long(disks: Disks, home: str, what: str, kind: str) -> None:
    """The same 600 times on three filesystems."""
    disk = disks(kind)
    for seed in range(50):
        meet_failure(disk, disk.point / "store", home, seed, what)
        shutil.rmtree(disk.point / "store")

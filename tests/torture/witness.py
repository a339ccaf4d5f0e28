"""Who knows what a folder must hold, whatever befalls the processes that write to it."""

from __future__ import annotations

import itertools
import random
import time
from contextlib import suppress
from pathlib import Path

from crew import Actor, Crew
from deeds import HOMES, KEYS, At, Deed, Records, alive, allowed, exactly, foreseen, opened, plan, seen_in
from mounts import Disk
from tallies import tally
from uploading import given_to, source_of

LATE = 0.2
"""Seconds after which a writer with an interval of 3 ms has certainly had a sync, on a machine as busy as that."""


class Witness:
    """Knows what a folder must hold, and has one process after the other killed that writes to it."""

    fate = "kills at random moments"

    def __init__(self, crew: Crew, folder: Path, home: str, durability: str, seed: int) -> None:
        self._crew = crew
        self._folder = folder
        self._home = home
        self.durability = durability
        self._seed = seed
        self._first = 0
        self._records: Records = {}

    def round(self, number: int) -> None:
        """Have a process killed while it writes; see what is there."""
        chance = random.Random(f"{self._seed} {number}")
        seed = chance.randrange(1_000_000)
        with self._crew.actor() as writer:
            names = {"folder": self._folder, "home": self._home, "seed": seed, "first": self._first}
            names["durability"] = self.durability
            self._write(writer, names)
            certain, told = self._ended(writer, chance)
        row = plan(seed, self._first, HOMES[self._home])
        for deed in itertools.islice(row, certain):
            self._records = foreseen(self._records, deed)
        flying = list(itertools.islice(row, told - certain + 1))
        tally[self.fate] += 1
        self._compare(
            flying, chance, f"{self.fate}, {self._home}, {self.durability}, seed {self._seed}, round {number}"
        )
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
        self._look_for_source(flying[-1], found, where)
        self._records = found

    def _look_for_source(self, deed: Deed, found: Records, where: str) -> None:
        """A file that was being moved in is there as it was, or it is the value; it may be both for a moment."""
        source, given = source_of(self._folder), given_to(self._folder)
        if (
            self.fate == Witness.fate
            and deed.kind == "move in"
            and given.exists()
            and given.read_bytes() == b"%d" % deed.now
        ):
            is_value = exactly(found) == exactly(alive(foreseen(self._records, deed), deed.now))
            assert is_value or source.read_bytes() == deed.value, where
            assert not source.exists() or source.read_bytes() == deed.value, where
            tally["kills while a file is moved in"] += 1

    def _explained(self, found: Records, flying: list[Deed], now: float) -> bool:
        """Whether this is there if one of the deeds, in their row, was the last that came through, or came half."""
        old = self._records
        for deed in flying:
            new = foreseen(old, deed)
            if allowed(found, alive(old, now), alive(new, now), deed.moves):
                return True
            old = new
        return False


class PowerCut(Witness):
    """Knows what a folder must hold if what was acknowledged is on disk, and has the power cut while it is written."""

    def __init__(self, crew: Crew, disk: Disk, home: str, durability: str, seed: int) -> None:
        super().__init__(crew, disk.point / str(seed), home, durability, seed)
        self._disk = disk
        self.fate = f"power cuts on {disk.kind}"

    def _write(self, writer: Actor, names: dict[str, object]) -> None:
        writer.start("crash_child.write_until_power_fails(say, folder, home, seed, first, durability)", **names)

    def _ended(self, writer: Actor, chance: random.Random) -> tuple[int, int]:
        stamps = [writer.hear() for _ in range(chance.randrange(1, 8 if self.durability == "full" else 700))]
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
        certain = cut if self.durability == "full" else cut - LATE
        return sum(stamp < certain for stamp in stamps), len(stamps)


def witness(crew: Crew, folder: Path, home: str, durability: str, stores: int, rounds: int) -> None:
    """Have writers killed, `rounds` times in each of `stores` folders."""
    for seed in range(stores):
        witness = Witness(crew, folder / str(seed), home, durability, seed)
        for number in range(rounds):
            witness.round(number)

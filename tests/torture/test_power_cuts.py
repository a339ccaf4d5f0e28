"""The power is cut while a process writes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from crew import Actor, Crew
from mounts import CannotMountError, Disk
from stage import both_homes
from witness import Witness


class PowerCut(Witness):
    """Knows what a folder must hold if what was acknowledged is on disk, and has the power cut while it is written."""

    def __init__(self, crew: Crew, disk: Disk, home: str, durability: str, seed: int) -> None:
        super().__init__(crew, disk.point / str(seed), home, durability, seed)
        self._disk = disk
        self.fate = f"power cuts on {disk.kind}"

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
    cut(crew, tmp_path, announce, home, durability, stores=20, rounds=25, kind=kind)

"""Everything at once, for long: kills, power cuts, threads, copies, expiry, with changing durabilities."""

from __future__ import annotations

import contextlib
import itertools
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crash_child import DURABILITIES
from crew import Actor, Crew
from histories import KEYS, Event, faults
from mounts import CannotMountError, Disk
from stage import all_homes
from tallies import tally
from witness import PowerCut, Witness

GROWTH = 24 << 20
"""Bytes that a process that does the same again and again may take more than at its beginning, for no reason."""


@pytest.fixture
def disk(tmp_path: Path, announce: Callable[[str], None]) -> Iterator[Disk | None]:
    """A filesystem whose power can be cut, where there can be one."""
    try:
        disk = Disk(tmp_path / "disk", 96 << 20)
    except CannotMountError as error:
        announce(f"power cuts among everything at once: this user cannot make and mount an image ({error}).")
        yield None
        return
    yield disk
    disk.unmount()


def soak(crew: Crew, folder: Path, disk: Disk | None, home: str, seconds: float) -> None:
    witnesses = [Witness(crew, folder / "killed", home, "process", 0)]
    if disk is not None:
        witnesses.append(PowerCut(crew, disk, home, "full", 0))
    chance = random.Random(0)
    begun = time.monotonic()
    memory = 0
    with crew.actor() as resident:
        for name in DURABILITIES:
            resident.run(f"{name} = histories.opened(folder / '{name}', '{name}', cache_bytes=2_000)", folder=folder)
        for number in itertools.count():
            late = time.monotonic() - begun
            if late > seconds:
                break
            for witness in witnesses:
                cuts = isinstance(witness, PowerCut)
                witness.durability = chance.choice([name for name in DURABILITIES if not cuts or name != "process"])
                witness.round(number)
            for name in DURABILITIES:
                check(resident.ask(f"histories.work_while_copied({name}, 100, folder / 'copy')"))
            assert resident.ask("len(crash_child.descriptors())") < 40
            if late < seconds / 5:
                memory = resident_bytes(resident)
        assert resident_bytes(resident) < memory + GROWTH
        for name in DURABILITIES:
            resident.run(f"{name}.close()")


def check(events: list[Event]) -> None:
    tally["reads and writes of threads"] += len(events)
    for key in KEYS:
        assert not faults(event for event in events if event.key == key and event.end)


def resident_bytes(actor: Actor) -> int:
    status = Path(f"/proc/{actor.pid}/status")
    with contextlib.suppress(FileNotFoundError):
        found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text())
        return int(found[1]) << 10 if found else 0
    return 0


@pytest.fixture(scope="module")
def everybody() -> Iterator[Crew]:
    """Processes that write until they are killed, and such with threads."""
    with Crew("crash_child", "histories") as crew:
        yield crew


@pytest.mark.parametrize("home", ["attributes"], indirect=True)
def test_soak(everybody: Crew, quick: Path, disk: Disk | None, home: str) -> None:
    """For some seconds nothing is lost, nothing torn, and no memory or descriptor is kept."""
    soak(everybody, quick, disk, home, 3)


@pytest.mark.torture
@all_homes
def test_soak_for_long(everybody: Crew, quick: Path, disk: Disk | None, home: str) -> None:
    """An hour in all."""
    soak(everybody, quick, disk, home, 1_200)

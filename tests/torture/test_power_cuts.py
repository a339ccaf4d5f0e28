"""The power is cut while a process writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from crew import Crew
from mounts import CannotMountError, Disk
from stage import both_homes
from witness import PowerCut


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

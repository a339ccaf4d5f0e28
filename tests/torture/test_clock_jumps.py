"""The clock jumps, forwards and back, by seconds and by years."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crew import Crew
from deeds import At
from jumps import Jumps
from stage import both_homes, each_durability
from tallies import tally


@pytest.fixture(scope="module")
def jumpy(tmp_path_factory: pytest.TempPathFactory, announce: Callable[[str], None]) -> Iterator[Crew]:
    """Processes whose wall clock can be moved while they live."""
    libfaketime = pytest.importorskip("libfaketime") if sys.platform == "linux" else None
    if libfaketime is None:
        announce(
            "stores below a wall clock that jumps: libfaketime is used on Linux alone. Clocks of the tests jumped."
        )
        pytest.skip("no libfaketime")
    stamp = tmp_path_factory.mktemp("clock") / "now"
    stamp.write_text("+0")
    _, environment = libfaketime.get_reload_information()
    with Crew("jumps", environment=environment | {"FAKETIME_TIMESTAMP_FILE": str(stamp), "TZ": "UTC"}) as crew:
        yield crew


@each_durability
@both_homes
def test_wall_clock_jumps(jumpy: Crew, quick: Path, home: str, durability: str) -> None:
    """All that a store tells agrees with a dict that knows the clock; what comes back is what was not yet removed."""
    with jumpy.actor() as actor:
        actor.run("jumps.jump(folder, home, durability, 0, 100)", folder=quick / "s", home=home, durability=durability)
    tally["jumps of the wall clock"] += 100


@pytest.mark.torture
@each_durability
@both_homes
def test_wall_clock_jumps_for_long(jumpy: Crew, quick: Path, home: str, durability: str) -> None:
    """12,000 jumps."""
    for seed in range(1, 11):
        with jumpy.actor() as actor:
            names = {"folder": quick / str(seed), "home": home, "durability": durability, "seed": seed}
            actor.run("jumps.jump(folder, home, durability, seed, 200)", **names)
        tally["jumps of the wall clock"] += 200


@each_durability
@both_homes
def test_given_clock_jumps(quick: Path, home: str, durability: str) -> None:
    """The same with the clock that the store was given."""
    Jumps(quick / "store", home, durability, 0, At()).run(100)
    tally["jumps of a given clock"] += 100


@pytest.mark.torture
@each_durability
@both_homes
def test_given_clock_jumps_for_long(quick: Path, home: str, durability: str) -> None:
    """60,000 jumps."""
    for seed in range(1, 51):
        Jumps(quick / str(seed), home, durability, seed, At()).run(200)
        tally["jumps of a given clock"] += 200

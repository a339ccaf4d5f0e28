"""The power is cut at each moment of a few changes of a queue, and each state is looked at that may be left then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from crew import Crew
from queue_crash_child import ROWS, Verdict
from queue_model import CLASSES
from tallies import tally


@pytest.fixture(scope="module")
def recorded() -> Iterator[Crew]:
    """Processes whose calls can be recorded."""
    with Crew("faults:install_with_syncs", "queue_crash_child") as crew:
        yield crew


def judge(crew: Crew, quick: Path, names: list[str], order: str, durability: str, limit: int, deaf: bool) -> Verdict:
    """Return what is found when `limit` states at most are looked at for each moment and kind of disk."""
    with crew.actor() as actor:
        given = {"folder": quick / "states", "names": names, "order": order, "durability": durability}
        given |= {"limit": limit, "deaf": deaf}
        verdict = actor.ask("queue_crash_child.judge(folder, names, order, durability, limit, deaf)", **given)
    assert isinstance(verdict, Verdict)
    return verdict


def assert_right(crew: Crew, quick: Path, names: list[str], order: str, durability: str, limit: int) -> None:
    verdict = judge(crew, quick, names, order, durability, limit, deaf=False)
    tally["legal crash states of queues"] += verdict.states
    assert not verdict.wrong, f"{len(verdict.wrong)} of {verdict.states}, the first: {verdict.wrong[0]}"


each_order = pytest.mark.parametrize("order", CLASSES)
each_durability = pytest.mark.parametrize("durability", ["process", "interval", "full"])


@each_durability
def test_few_crash_states(recorded: Crew, quick: Path, durability: str) -> None:
    """With "full" there is what was acknowledged, with all of them nothing wrong: no value that was never put."""
    for order, name in zip(CLASSES, ("few", "acknowledged", "reopened"), strict=True):
        assert_right(recorded, quick, [name], order, durability, 2)


@pytest.mark.torture
@each_durability
@each_order
def test_crash_states(recorded: Crew, quick: Path, order: str, durability: str) -> None:
    """The same for more changes, and more states of each."""
    assert_right(recorded, quick, [*ROWS], order, durability, 40)


def test_syncs_that_are_left_out_are_found(recorded: Crew, quick: Path) -> None:
    """These tests find it if "full" does not sync."""
    assert judge(recorded, quick, ["few"], "fifo", "full", 2, deaf=True).wrong

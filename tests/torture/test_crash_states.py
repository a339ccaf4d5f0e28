"""The power is cut at each moment of a few changes, and each state is looked at that a filesystem may leave then."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import pytest
from crash_rows import DURABILITIES, ENDS, Case, Row, rows, rows_begun_anew, rows_of_streams
from crash_states_child import Verdict
from crew import Crew
from stage import both_homes
from tallies import tally

ROWS: list[Row] = [("put",), ("transaction", "flush"), ("delete", "put", "flush", "delete")]
"""In these each seeded fault shows."""

each_way = pytest.mark.parametrize("durability", DURABILITIES)


@pytest.fixture(scope="module")
def recorded() -> Iterator[Crew]:
    """Processes whose calls can be recorded."""
    with Crew("faults:install_with_syncs", "crash_states_child") as crew:
        yield crew


def judge(
    crew: Crew,
    quick: Path,
    cases: Iterable[Case],
    *,
    limit: int,
    overlooked: Collection[str | None] = (),
    before: str = "pass",
) -> Verdict:
    """Return what is found when `limit` states at most are looked at for each moment and kind of disk."""
    with crew.actor() as actor:
        actor.run(f"crash_states_child.have_little(); {before}")
        names = {"folder": quick / "states", "cases": list(cases), "limit": limit, "overlooked": overlooked}
        verdict = actor.ask("crash_states_child.judge(folder, cases, limit, overlooked)", **names)
    assert isinstance(verdict, Verdict)
    return verdict


def assert_right(crew: Crew, quick: Path, cases: Iterable[Case], *, limit: int) -> None:
    verdict = judge(crew, quick, cases, limit=limit)
    tally["legal crash states"] += verdict.states
    tally["legal crash states that differ from each other"] += verdict.different
    assert not verdict.wrong, f"{len(verdict.wrong)} of {verdict.states}, the first: {verdict.wrong[0]}"


@each_way
@both_homes
def test_few_crash_states(recorded: Crew, quick: Path, home: str, durability: str) -> None:
    """Whatever a filesystem may leave of a change, the store opens and has what its durability promises."""
    chance = random.Random(f"{home} {durability}")
    drawn = chance.sample([*rows(1), *rows(2), *rows_begun_anew()], 2)
    cases = [Case(row, chance.choice(ENDS), len(row) == 1, durability, home) for row in [*ROWS, *drawn]]
    assert_right(recorded, quick, cases, limit=3)


@pytest.mark.torture
@each_way
@both_homes
def test_crash_states(recorded: Crew, quick: Path, home: str, durability: str) -> None:
    """The same holds within all rows of up to three changes, and where the journal is begun anew among them."""
    one = [Case(row, end, new, durability, home) for row in rows(1) for end in ENDS for new in (False, True)]
    assert_right(recorded, quick, one, limit=40)
    two = [Case(row, end, False, durability, home) for row in rows(2) for end in ENDS]
    assert_right(recorded, quick, two, limit=8)
    # Each of the long ones has one end and one home: that all have both would take an hour.
    ends_and_homes = itertools.cycle(itertools.product(ENDS, ("attributes", "sidecars")))
    long = zip([*rows(3), *rows_begun_anew()], ends_and_homes, strict=False)
    three = [Case(row, end, False, durability, home) for row, (end, each) in long if each == home]
    assert_right(recorded, quick, three, limit=4)


@each_way
@both_homes
def test_few_crash_states_of_streams(recorded: Crew, quick: Path, home: str, durability: str) -> None:
    """The same holds while values come as streams, and a file that is moved in is there or it is the value."""
    cases = [Case(row, "kill", False, durability, home) for row in rows_of_streams(1)]
    assert_right(recorded, quick, cases, limit=3)


@pytest.mark.torture
@each_way
@both_homes
def test_crash_states_of_streams(recorded: Crew, quick: Path, home: str, durability: str) -> None:
    """The same within all rows of up to two changes, the first of them by streams, and a part of those of three."""
    one = [Case(row, end, new, durability, home) for row in rows_of_streams(1) for end in ENDS for new in (False, True)]
    assert_right(recorded, quick, one, limit=40)
    two = [Case(row, end, False, durability, home) for row in rows_of_streams(2) for end in ENDS]
    assert_right(recorded, quick, two, limit=8)
    ends_and_homes = itertools.cycle(itertools.product(ENDS, ("attributes", "sidecars")))
    long = zip(itertools.islice(rows_of_streams(3), 0, None, 5), ends_and_homes, strict=False)
    three = [Case(row, end, False, durability, home) for row, (end, each) in long if each == home]
    assert_right(recorded, quick, three, limit=4)


@pytest.mark.parametrize("durability", ["interval", "full"])
def test_seeded_faults_of_streams_are_found(recorded: Crew, quick: Path, durability: str) -> None:
    """Without the sync of what came as a stream, before the journal says so, it is not there in some state."""
    cases = [Case(row, "kill", False, durability, "attributes") for row in rows_of_streams(1)]
    assert judge(recorded, quick, cases, limit=4, overlooked=[None]).wrong


def test_a_copy_is_on_disk_before_its_source_goes(recorded: Crew, quick: Path) -> None:
    """What is moved in and cannot become the value by its name is synced before that goes."""
    with recorded.actor() as actor:
        calls = actor.ask("crash_states_child.moved_as_a_copy(folder)", folder=quick / "copied")
    assert calls == ["replace", "syncfs", "unlink"]


@pytest.mark.parametrize(
    ("overlooked", "before"),
    [
        pytest.param(["store/journal"], "pass", id="the journal is not synced"),
        pytest.param(["store"], "pass", id="the name of the journal is not synced"),
        pytest.param([None], "pass", id="the files are not synced before the journal is begun anew"),
        pytest.param([], "crash_states_child.believe_checksums()", id="the checksums of groups are not compared"),
    ],
)
@pytest.mark.parametrize("durability", ["interval", "full"])
def test_seeded_faults_are_found(
    recorded: Crew, quick: Path, durability: str, overlooked: list[str | None], before: str
) -> None:
    """A store with that fault does not keep its promise in some state; without it these rows are right in all."""
    cases = [Case(row, "close", False, durability, "attributes") for row in ROWS]
    assert judge(recorded, quick, cases, limit=4, overlooked=overlooked, before=before).wrong

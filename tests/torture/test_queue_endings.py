"""Processes that use a queue, killed at any moment: what was put is there, what is done does not come back."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faults
import pytest
from clocks import Clock
from crew import Actor, Crew
from queue_child import SCENES, Stage, Way
from queue_model import CLASSES, START, adopted, explained, foreseen, found_in, perform, plan
from tallies import tally

WAYS = [
    Way(order, durability, visibility, max_deliveries, maxsize)
    for order in CLASSES
    for durability in ("process", "full")
    for visibility, max_deliveries, maxsize in ((None, None, 0), (10.5, 2, 0))
] + [Way("fifo", "interval"), Way("fifo", "interval", 10.5), Way("fifo", "process", None, None, 5)]


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    """Processes whose system calls are counted."""
    with Crew("faults:install_with_syncs", "queue_child") as crew:
        yield crew


@pytest.fixture(scope="module")
def plain() -> Iterator[Crew]:
    """Processes that make their system calls as ever."""
    with Crew("queue_child") as crew:
        yield crew


def strike(actor: Actor, chance: random.Random, words: int) -> list[Any]:
    """Kill a process after some of its words, at any moment; return all that it said."""
    told = [actor.hear() for _ in range(chance.randrange(words))]
    end = time.perf_counter() + chance.random() * 0.002
    while time.perf_counter() < end:
        pass
    actor.kill()
    return told + actor.last_words()


# ---- one thread: what must be there is known exactly


class Witness:
    """Knows what must be in a queue, and has one process after the other killed that uses it."""

    def __init__(self, crew: Crew, folder: Path, way: Way) -> None:
        self._crew = crew
        self._folder = folder
        self._way = way
        self._first = 0
        self._clock = Clock(START)
        self._model = way.modelled(self._clock)

    def round(self, number: int) -> None:
        """Have a process killed; see what is there."""
        chance = random.Random(f"{self._way} {number}")
        seed = chance.randrange(1_000_000)
        names = {"folder": self._folder, "way": self._way, "seed": seed, "first": self._first}
        with self._crew.actor() as actor:
            actor.start("queue_child.write_until_killed(say, folder, way, seed, first)", **names)
            count = len(strike(actor, chance, 12))
        hand: list[Any] = []
        deeds = itertools.islice(plan(seed, self._first, delivered=self._way.visibility is not None), count + 1)
        self._model.reopen()
        before = self._model
        for deed in deeds:
            before = self._model.copy()
            self._clock.now = deed.now
            perform(self._model, hand, deed)
        found = found_in(self._folder, self._way.order, **self._way.options(self._clock))
        where = f"{self._way}, round {number}, {deed}"
        assert explained(found, before, self._model, deed.kind), (where, found, foreseen(before), foreseen(self._model))
        self._model = adopted(found, before, self._model)
        self._first += count + 1
        tally["kills of processes that use a queue"] += 1


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_killed_at_random(plain: Crew, quick: Path, way: Way) -> None:
    """What was acknowledged is there as it was, what was being done is done or not, batches wholly: 45 kills."""
    witness = Witness(plain, quick / "queue", way)
    for number in range(3):
        witness.round(number)


@pytest.mark.torture
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_killed_at_random_for_long(plain: Crew, quick: Path, tmp_path: Path, way: Way) -> None:
    """600 kills."""
    for folder, rounds in ((quick, 30), (tmp_path, 10)):
        witness = Witness(plain, folder / "queue", way)
        for number in range(rounds):
            witness.round(number)


# ---- many threads


class Crowd:
    """Knows what must be in a queue that threads put into and get from, and has their processes killed."""

    THREADS = 5
    GETTING = 3
    MOST = 3  # items got at a time

    def __init__(self, crew: Crew, folder: Path, way: Way) -> None:
        self._crew = crew
        self._folder = folder
        self._way = way
        self._there: set[tuple[int, ...]] = set()

    def round(self, number: int) -> None:
        """Have a process killed; see what is there."""
        chance = random.Random(f"{self._way} {number}")
        names = {"folder": self._folder, "way": self._way, "seed": number, "threads": self.THREADS}
        with self._crew.actor() as actor:
            actor.start("queue_child.work_until_killed(say, folder, way, seed, threads)", **names)
            words = strike(actor, chance, 150)
        put = {tuple(item) for word, items in words if word == "put" for item in items}
        done = [tuple(item) for word, items in words if word == "done" for item in items]
        found = found_in(self._folder, self._way.order, **self._way.options(Clock()))
        kept = [tuple(value[:5]) for value, _ in found.kept]
        self._judge(put, done, kept, found.told.dead)
        self._there = set(kept)
        tally["kills of processes that use a queue"] += 1

    def _judge(
        self, put: set[tuple[int, ...]], done: list[tuple[int, ...]], kept: list[tuple[int, ...]], dead: list[Any]
    ) -> None:
        assert not dead
        assert len(set(done)) == len(done), "given twice"
        assert len(set(kept)) == len(kept), "there twice"
        assert not set(done) & set(kept), "came back"
        flying = (set(kept) | set(done)) - put - self._there
        self._judge_flying(flying, set(kept), set(done))
        lost = (self._there | put) - set(done) - set(kept)
        # Each who gets may have got some, and not said so yet.
        at_most = self.GETTING * (self.MOST if self._way.visibility is None else 1)
        assert len(lost) <= at_most, f"lost {lost}"
        if self._way.order == "fifo":
            for producer in range(self.THREADS):
                row = [each[1:] for each in kept if each[0] == producer]
                assert row == sorted(row), "out of order"

    def _judge_flying(
        self, flying: set[tuple[int, ...]], kept: set[tuple[int, ...]], done: set[tuple[int, ...]]
    ) -> None:
        batches = {(producer, seed, number, size) for producer, seed, number, _, size in flying}
        assert len({producer for producer, *_ in batches}) == len(batches), "more than one that was not acknowledged"
        for producer, seed, number, size in batches:
            parts = {(producer, seed, number, part, size) for part in range(size)}
            missing = parts - kept - done
            assert len(missing) <= self.GETTING * self.MOST, f"half of a batch: {missing}"


CROWDED = [Way("fifo", durability, visibility) for durability in ("process", "full") for visibility in (None, 3_600.0)]
ORDERS = [Way(order, "process", visibility) for order in ("lifo", "priority") for visibility in (None, 3_600.0)]
TIGHT = [Way("fifo", "process", None, None, 40), Way("fifo", "interval", 3_600.0, None, 40)]


@pytest.mark.parametrize("way", [*CROWDED, *ORDERS, *TIGHT], ids=str)
def test_crowd_killed_at_random(plain: Crew, quick: Path, way: Way) -> None:
    """Whichever of the threads were within which calls: 30 kills."""
    crowd = Crowd(plain, quick / "queue", way)
    for number in range(3):
        crowd.round(number)


@pytest.mark.torture
@pytest.mark.parametrize("way", [*CROWDED, *ORDERS, *TIGHT], ids=str)
def test_crowd_killed_at_random_for_long(plain: Crew, quick: Path, way: Way) -> None:
    """300 kills."""
    crowd = Crowd(plain, quick / "queue", way)
    for number in range(30):
        crowd.round(number)


# ---- one call after the other


each_scene = pytest.mark.parametrize("name", SCENES)
DURABILITIES = ("process", "interval", "full")
IN_MEMORY = ("put again", "nack", "extend")
"""What asks the system for nothing."""
FEW = (
    "put",
    "put into a new file",
    "put many",
    "get",
    "get the last of a file",
    "get many",
    "ack",
    "nack with delay",
    "die",
    "requeue",
)
FEW_DURABLE = ("put into a new file", "get the last of a file", "ack", "die")
some_by_durability = pytest.mark.parametrize(
    ("name", "durability"),
    [
        pytest.param(
            name,
            durability,
            marks=[pytest.mark.torture] * ((name, durability) not in {*itertools.product(FEW, ["process"])} | full),
        )
        for full in [{*itertools.product(FEW_DURABLE, ["full"])}]
        for name in SCENES
        for durability in DURABILITIES
    ],
)
"""All scenes with all durabilities are for torture."""
ORDER_OF = dict(zip(SCENES, itertools.cycle(CLASSES), strict=False))


def way_of(name: str, durability: str, order: str = "") -> Way:
    return SCENES[name].way._replace(durability=durability, order=order or ORDER_OF[name])


@some_by_durability
def test_killed_before_each_call(crew: Crew, quick: Path, name: str, durability: str) -> None:
    """Wherever a change stops, it is made or not, and the next process has the rest."""
    judge_kills(crew, quick, name, way_of(name, durability))


@pytest.mark.torture
@pytest.mark.parametrize("order", CLASSES)
@pytest.mark.parametrize("durability", DURABILITIES)
@each_scene
def test_killed_before_each_call_in_each_order(crew: Crew, quick: Path, name: str, durability: str, order: str) -> None:
    """The same for each class."""
    judge_kills(crew, quick, name, way_of(name, durability, order))


def judge_kills(crew: Crew, quick: Path, name: str, way: Way) -> None:
    for number in itertools.count(1):
        place = quick / str(number)
        with crew.actor() as actor:
            names = {"folder": place, "way": way, "name": name, "fate": faults.Kill(number)}
            actor.start("queue_child.play_and_die(folder, way, name, fate)", **names)
            try:
                actor.hear()
                break
            except EOFError:
                pass
        stage = Stage(quick / "twin", way, SCENES[name])  # for its models
        stage.q.destroy()
        stage.folder = place
        assert not stage.judge_folder(), f"killed before call {number}"
        tally["kills of processes that use a queue"] += 1
    assert number > 1 or name in IN_MEMORY


@some_by_durability
@pytest.mark.parametrize("kind", [faults.FailToChange, faults.DoAndFail])
def test_each_call_fails_once(
    crew: Crew, quick: Path, name: str, durability: str, kind: Callable[[int], faults.Plan]
) -> None:
    """A change raises and nothing has changed, or it is done; the handle goes on, but after a sync has failed."""
    judge_failures(crew, quick, name, way_of(name, durability), kind)


@pytest.mark.torture
@pytest.mark.parametrize("order", CLASSES)
@pytest.mark.parametrize("kind", [faults.Fail, faults.DoAndFail, faults.Half, faults.FailToSync])
@pytest.mark.parametrize("durability", DURABILITIES)
@each_scene
def test_each_call_fails_in_each_way(
    crew: Crew, quick: Path, name: str, durability: str, order: str, kind: Callable[[int], faults.Plan]
) -> None:
    """Reading calls fail too, writes are short, syncs fail."""
    judge_failures(crew, quick, name, way_of(name, durability, order), kind, at_least=0)


def judge_failures(
    crew: Crew, quick: Path, name: str, way: Way, kind: Callable[[int], faults.Plan], at_least: int = 1
) -> None:
    names = {"folder": quick / "queue", "way": way, "name": name, "fates": [kind(at) for at in range(1, 400)]}
    with crew.actor() as actor:
        count, wrong = actor.ask("queue_child.fail(folder, way, name, fates)", **names)
    assert not wrong, "\n".join(wrong)
    assert count >= at_least or name in IN_MEMORY
    tally["calls of queues that failed"] += count


# ---- Ctrl-C


@each_scene
def test_interrupted(plain: Crew, quick: Path, name: str) -> None:
    """After a Ctrl-C at any place, here every 29th, all others are there, and it was done or not."""
    interrupt(plain, quick, name, way_of(name, "process"), range(random.randrange(1, 30), 100_000, 29))


@pytest.mark.torture
@pytest.mark.parametrize("order", CLASSES)
@pytest.mark.parametrize("durability", DURABILITIES)
@each_scene
def test_interrupted_everywhere(plain: Crew, quick: Path, name: str, durability: str, order: str) -> None:
    """The same at every place."""
    interrupt(plain, quick, name, way_of(name, durability, order), range(1, 100_000))


def interrupt(plain: Crew, quick: Path, name: str, way: Way, places: range) -> None:
    with plain.actor() as actor:
        names = {"folder": quick / "queue", "way": way, "name": name, "places": places}
        count, wrong = actor.ask("queue_child.interrupt(folder, way, name, places)", **names)
    assert not wrong, "\n".join(wrong)
    tally["interruptions of queues"] += count


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_interrupted_by_timer(plain: Crew, quick: Path, way: Way) -> None:
    """Signals that come when they come, within 60 changes."""
    interrupt_by_timer(plain, quick / "queue", way, 1, 60)


@pytest.mark.torture
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_interrupted_by_timer_for_long(plain: Crew, quick: Path, way: Way) -> None:
    """30,000 changes, most of them interrupted."""
    for seed in range(10):
        interrupt_by_timer(plain, quick / str(seed), way, seed, 200)


def interrupt_by_timer(plain: Crew, folder: Path, way: Way, seed: int, rounds: int) -> None:
    with plain.actor() as actor:
        names = {"folder": folder, "way": way, "seed": seed, "rounds": rounds}
        met, wrong = actor.ask("queue_child.interrupted_by_timer(folder, way, seed, rounds)", **names)
    assert not wrong, wrong
    assert met
    tally["interruptions of queues by a timer"] += met


# ---- opening


OPENED = [
    "put",
    *(pytest.param(name, marks=pytest.mark.torture) for name in ("be given", "die", "get the last of a file")),
]


@pytest.mark.parametrize("end", ["closed", "killed"])
@pytest.mark.parametrize("name", OPENED)
@pytest.mark.parametrize("kind", [faults.Fail, pytest.param(faults.DoAndFail, marks=pytest.mark.torture)])
def test_each_call_of_opening_fails_once(
    crew: Crew, plain: Crew, quick: Path, name: str, end: str, kind: Callable[[int], faults.Plan]
) -> None:
    """A queue that could not be opened, or closed, is not locked, and has everything when it is opened again."""
    way = SCENES[name].way
    folder = leave(plain, quick, name, way, end)
    with crew.actor() as actor:
        names = {"folder": folder, "way": way, "fates": [kind(at) for at in range(1, 400)]}
        count, wrong = actor.ask("queue_child.open_wrongly(folder, way, fates)", **names)
    assert not wrong, "\n".join(wrong)
    assert count
    tally["openings of queues that failed"] += count


def leave(plain: Crew, quick: Path, name: str, way: Way, end: str) -> Path:
    """Play a scene; return its folder, left closed or killed."""
    folder = quick / "left"
    with plain.actor() as actor:
        actor.run("stage = queue_child.Stage(folder, way, scene)", folder=folder, way=way, scene=SCENES[name])
        actor.run("stage.play()" if end == "killed" else "stage.play(); stage.q.close()")
        actor.kill()
    return folder

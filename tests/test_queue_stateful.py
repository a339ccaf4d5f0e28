"""Durable queues driven by Hypothesis beside the library's, and beside a model of what they can do beyond it.

Between the steps a queue is closed and opened, its process is killed (a copy of the folder is opened: what the kernel
has then), and a Ctrl-C comes at any place where the interpreter lets one through.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import pytest
from clocks import Clock
from crash_child import descriptors
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from interrupts import Interrupted
from queue_contract import ShutDown
from queue_model import CLASSES, Deed, Model, adopted, explained, foreseen, found_in, perform, told

LONG = settings(deadline=None, max_examples=600, stateful_step_count=50, suppress_health_check=list(HealthCheck))
# A failing row of changes is made shorter by `make torture`: that takes minutes.
USUAL = settings(LONG, max_examples=25, stateful_step_count=30, phases=set(Phase) - {Phase.shrink, Phase.explain})

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
LIBRARY: dict[str, type[queue.Queue[Any]]] = {
    "fifo": queue.Queue,
    "lifo": queue.LifoQueue,
    "priority": queue.PriorityQueue,
}

each_order = pytest.mark.parametrize("order", CLASSES)


class InFolder(RuleBasedStateMachine):
    """A durable queue that is opened again and again."""

    order: ClassVar[str] = "fifo"

    def __init__(self) -> None:
        super().__init__()
        self.folders = [tempfile.mkdtemp(dir=MEMORY, prefix="diskdict-tests-")]
        self.clock = Clock()
        self.options: dict[str, Any] = {}

    @property
    def folder(self) -> Path:
        return Path(self.folders[-1], "queue")

    def begin(self, **options: Any) -> None:
        """Open it with such options."""
        self.options = {"clock": self.clock, "interval": 3_600, **options}
        self.q = CLASSES[self.order](self.folder, **self.options)

    def open_anew(self, killed: bool) -> None:
        """Close it, or have its process killed, and open it."""
        if killed:
            self.folders.append(tempfile.mkdtemp(dir=MEMORY, prefix="diskdict-tests-"))
            shutil.copytree(Path(self.folders[-2], "queue"), self.folder)
        self.q.close()
        self.q = CLASSES[self.order](self.folder, **self.options)

    def teardown(self) -> None:
        if hasattr(self, "q"):
            self.q.close()
        for folder in self.folders:
            shutil.rmtree(folder)


# ---- beside the library's


class Both(InFolder):
    """A durable queue and the library's."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    @initialize(maxsize=st.sampled_from([0, 0, -1, 1, 3, 10]), durability=st.sampled_from(["process", "full"]))
    def make(self, maxsize: int, durability: str) -> None:
        self.begin(maxsize=maxsize, durability=durability)
        self.model = LIBRARY[self.order](maxsize)
        self.is_shutdown = False

    def value(self, rank: int) -> Any:
        self.count += 1
        return (rank, self.count, "x" * (rank * 900))

    def attempt(self, mine: Any, theirs: Any) -> None:
        """Do the same to both: the same comes of it."""
        assert self.outcome(mine) == self.outcome(theirs)

    def outcome(self, call: Any) -> Any:
        try:
            return call()
        except (queue.Empty, queue.Full, ShutDown) as error:
            return type(error).__name__
        except ValueError as error:
            return str(error)

    @rule(rank=st.integers(0, 5))
    def put(self, rank: int) -> None:
        value = self.value(rank)
        if self.is_shutdown:
            self.attempt(lambda: self.q.put(value), lambda: "ShutDown")
        else:
            self.attempt(lambda: self.q.put(value, False), lambda: self.model.put(value, False))

    @rule(rank=st.integers(0, 5), timeout=st.sampled_from([0, 0.0001]))
    def put_with_timeout(self, rank: int, timeout: float) -> None:
        value = self.value(rank)
        if not self.is_shutdown:
            self.attempt(lambda: self.q.put(value, timeout=timeout), lambda: self.model.put(value, timeout=timeout))

    @rule(ranks=st.lists(st.integers(0, 5), max_size=5))
    def put_many(self, ranks: list[int]) -> None:
        values = [self.value(rank) for rank in ranks]
        size = self.model.maxsize
        if 0 < size < len(values):
            with pytest.raises(ValueError, match="at most"):
                self.q.put_many(values)
        elif self.is_shutdown:
            assert self.outcome(lambda: self.q.put_many(values, False)) == "ShutDown"
        elif 0 < size < self.model.qsize() + len(values):
            with pytest.raises(queue.Full):
                self.q.put_many(values, False)
        else:
            self.q.put_many(values, False)
            for value in values:
                self.model.put(value)

    def taken(self) -> Any:
        if self.is_shutdown and self.model.empty():
            return "ShutDown"
        return self.model.get(False)

    @rule()
    def get(self) -> None:
        self.attempt(lambda: self.q.get(False), self.taken)

    @rule()
    def get_nowait(self) -> None:
        self.attempt(self.q.get_nowait, self.taken)

    @rule(timeout=st.sampled_from([0, 0.0001]))
    def get_with_timeout(self, timeout: float) -> None:
        self.attempt(lambda: self.q.get(timeout=timeout), self.taken)

    @rule(count=st.integers(1, 6))
    def get_many(self, count: int) -> None:
        def expected() -> Any:
            first = self.taken()
            if first == "ShutDown":
                return first
            return [first] + [self.model.get() for _ in range(min(count - 1, self.model.qsize()))]

        self.attempt(lambda: self.q.get_many(count, False), expected)

    @rule()
    def task_done(self) -> None:
        self.attempt(self.q.task_done, self.model.task_done)

    @rule(maxsize=st.sampled_from([0, 1, 3, 10]))
    def resize(self, maxsize: int) -> None:
        self.q.maxsize = self.model.maxsize = maxsize

    @rule(chance=st.integers(0, 9))
    def shutdown(self, chance: int) -> None:
        if not chance:
            self.q.shutdown()
            self.is_shutdown = True

    @rule(killed=st.booleans(), maxsize=st.sampled_from([0, 1, 3, 10]))
    def reopen(self, killed: bool, maxsize: int) -> None:
        self.options["maxsize"] = self.model.maxsize = maxsize
        self.open_anew(killed)
        self.model.unfinished_tasks = self.model.qsize()
        self.is_shutdown = False

    @invariant()
    def they_tell_the_same(self) -> None:
        size = self.model.qsize()
        assert (self.q.qsize(), self.q.empty(), self.q.full()) == (size, size == 0, self.model.full())
        assert self.q.unfinished_tasks == self.model.unfinished_tasks
        assert self.q.counts() == (size, 0, 0, 0)
        waiting = list(self.model.queue)
        if self.order != "fifo":
            waiting = sorted(waiting) if self.order == "priority" else waiting[::-1]
        assert [*self.q] == waiting
        self.attempt(self.q.peek, lambda: waiting[0] if waiting else "Empty")


class BothLifo(Both):
    """Last in, first out."""

    order = "lifo"


class BothPriority(Both):
    """The smallest first."""

    order = "priority"


# ---- beside a model


deeds = st.builds(
    Deed,
    kind=st.sampled_from(["put"] * 4 + ["put_many"] * 2 + ["get"] * 3 + ["get_many"] * 2 + ["ack", "nack", "extend"]),
    now=st.just(0.0),
    values=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    delay=st.sampled_from([0, 0, 0, 2.5, 20.5]),
    key=st.sampled_from([None, None, "a", "b"]),
    count=st.integers(1, 4),
    which=st.integers(0, 20),
)


class Beside(InFolder):
    """A durable queue and a model of it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.hand: list[Any] = []
        self.model_hand: list[Any] = []

    @initialize(
        maxsize=st.sampled_from([0, 0, 3]),
        visibility=st.sampled_from([None, 10.5, 10.5]),
        max_deliveries=st.sampled_from([None, 1, 2]),
        durability=st.sampled_from(["process", "process", "interval", "full"]),
    )
    def make(self, maxsize: int, visibility: float | None, max_deliveries: int | None, durability: str) -> None:
        limits: dict[str, Any] = {"maxsize": maxsize, "visibility": visibility}
        limits["max_deliveries"] = None if visibility is None else max_deliveries
        self.begin(**limits, durability=durability)
        self.model = Model(self.order, self.clock, **limits)

    def numbered(self, deed: Deed) -> Deed:
        self.count += 1
        values = [[rank, self.count, part, "x" * rank * 700] for part, rank in enumerate(deed.values)]
        if self.options["visibility"] is None and deed.kind in ("ack", "nack", "extend"):
            deed = deed._replace(kind="get")
        return deed._replace(values=values)

    @rule(deed=deeds)
    def do(self, deed: Deed) -> None:
        deed = self.numbered(deed)
        assert perform(self.q, self.hand, deed) == perform(self.model, self.model_hand, deed)

    @rule(chance=st.integers(0, 9))
    def clear(self, chance: int) -> None:
        if not chance:
            assert self.q.clear() == self.model.clear()
            self.hand.clear()
            self.model_hand.clear()

    @rule(seconds=st.sampled_from([1, 4, 20]))
    def time_passes(self, seconds: float) -> None:
        self.clock.tick(seconds)

    @rule(killed=st.booleans())
    def reopen(self, killed: bool) -> None:
        self.open_anew(killed)
        self.model.reopen()
        self.hand.clear()
        self.model_hand.clear()

    @rule(which=st.integers(0, 5), again=st.booleans())
    def dead_letter(self, which: int, again: bool) -> None:
        """Take one of the letters away, or have it put anew."""
        letters = [*self.q.dead_letters.items()]
        if not letters:
            return
        number, letter = letters[which % len(letters)]
        value = letter.value()
        self.model.dead.remove((value, letter.deliveries))
        if again and not self.model.full():
            self.q.dead_letters.requeue(number)
            self.model.put(value)
        else:
            del self.q.dead_letters[number]

    @rule(at=st.integers(1, 200), killed=st.booleans(), deed=deeds)
    def interruption(self, at: int, killed: bool, deed: Deed) -> None:
        """A Ctrl-C within a change: all else is there, and in the folder the change was made or not."""
        deed = self.numbered(deed)
        before = self.model.copy()
        expected = perform(self.model, self.model_hand, deed)
        unclosed = descriptors()
        try:
            with Interrupted(at).armed():
                outcome = perform(self.q, self.hand, deed)
        except KeyboardInterrupt:
            pass
        else:
            assert outcome == expected
            return
        old, new, seen = [*before], [*self.model], [*self.q]
        untouched = [value for value in old if value in new]
        assert [value for value in seen if value in untouched] == untouched
        assert all(value in old or value in new for value in seen)
        self.open_anew(killed)
        self.q.close()
        for fd in descriptors() - unclosed:
            os.close(fd)  # Python itself has lost it, between getting it from the system and giving it a name
        found = found_in(self.folder, self.order, **self.options)
        assert explained(found, before, self.model, deed.kind), (found, foreseen(before), foreseen(self.model))
        self.q = CLASSES[self.order](self.folder, **self.options)
        self.model = adopted(found, before, self.model)
        self.model.reopen()
        self.hand.clear()
        self.model_hand.clear()

    @invariant()
    def they_tell_the_same(self) -> None:
        assert told(self.q) == told(self.model)
        assert self.q.qsize() == self.model.qsize()
        assert self.q.full() == self.model.full()
        assert self.q.unfinished_tasks == self.model.unfinished_tasks


class BesideLifo(Beside):
    """Last in, first out."""

    order = "lifo"


class BesidePriority(Beside):
    """The smallest first."""

    order = "priority"


MACHINES = [Both, BothLifo, BothPriority, Beside, BesideLifo, BesidePriority]


@pytest.mark.no_cover
@pytest.mark.parametrize("machine", MACHINES)
def test_queues_beside_each_other(machine: type[InFolder]) -> None:
    """They tell the same after any row of changes."""
    run_state_machine_as_test(machine, settings=USUAL)


@pytest.mark.torture
@pytest.mark.parametrize("machine", MACHINES)
def test_queues_beside_each_other_for_long(machine: type[InFolder]) -> None:
    """The same for longer."""
    faulthandler.cancel_dump_traceback_later()  # it would end the run after two minutes
    run_state_machine_as_test(machine, settings=LONG)

"""What a power cut at any moment of a few changes of a queue may leave: `judge`, in a process of its own."""

from __future__ import annotations

import contextlib
import queue
import random
import shutil
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import faults
from clocks import Clock
from crash_states import KINDS, Disk, Kind, State, build
from queue_child import LARGE, Way, deed, short
from queue_model import CLASSES, START, Deed, Model, perform
from recording import Event, Recorder, Step, Sync

from diskdict import CorruptValueError

FEW = [deed("put", 1), deed("put", 2), deed("put_many", 3, 4, 5), deed("get"), deed("put", 6), deed("get_many")]
ROWS: dict[str, list[Deed]] = {
    "few": FEW,
    "reopened": [*FEW, deed("reopen"), deed("get"), deed("put", 7)],
    "many": [deed("put_many", 1, 2, 3, 4, size=700), deed("get_many", count=3), deed("put_many", 5, 6, size=9_000)],
    "files": [deed("put", number, size=LARGE) for number in (1, 2, 3)] + [deed("get"), deed("get"), deed("put", 4)],
    "acknowledged": [*FEW, deed("get"), deed("get"), deed("ack"), deed("nack", delay=5.5), deed("put", 7), deed("ack")],
    "cleared": [*FEW, deed("clear"), deed("put", 7)],
    "dead": [deed("put", 1), deed("put", 2), deed("get"), deed("nack"), deed("requeue"), deed("get"), deed("ack")],
}
"""Rows of changes. Those that acknowledge are of a queue with visibility, and letters die at the first delivery."""
WAYS = {"acknowledged": Way(visibility=10.5), "dead": Way(visibility=10.5, max_deliveries=1)}


class Verdict(NamedTuple):
    """How many states were looked at, and what is wrong with some."""

    states: int
    wrong: list[str]


class Recording:
    """What a row of changes does, call by call, and which values must be there after each."""

    def __init__(self, folder: Path, way: Way, row: list[Deed], deaf: bool) -> None:
        self.way = way
        self.clock = Clock(START)
        self._recorder = _Deaf(str(folder)) if deaf else Recorder(str(folder))
        self._model = way.modelled(self.clock)
        self.there = [self._values()]
        self.put: list[Any] = []
        with faults.armed(self._recorder):
            self._record(folder / "queue", row)
        shutil.rmtree(folder)

    @property
    def events(self) -> list[Event]:
        return self._recorder.events

    def _record(self, folder: Path, row: list[Deed]) -> None:
        q = self.way.opened(folder, self.clock)
        hand: list[Any] = []
        model_hand: list[Any] = []
        for number, each in enumerate(row, 1):
            self.events.append(Step(number, done=False))
            if each.kind == "reopen":
                q.close()
                q = self.way.opened(folder, self.clock)
            else:
                assert perform(q, hand, each) == perform(self._model, model_hand, each)
            self.events.append(Step(number, done=True))
            self.put += each.values
            self.there.append(self._values())
        q.abandon()

    def _values(self) -> list[Any]:
        """Return the values that are there, dead or alive, however often they were given."""
        later: Model = self._model.copy()
        return sorted([item.value for item in later.items] + [value for value, _ in later.dead])


class _Deaf(Recorder):
    """Takes no sync of a file of items for one."""

    def _fdatasync(self, _: None, fd: int) -> None:
        pass


def judge(folder: Path, names: Iterable[str], order: str, durability: str, limit: int, deaf: bool) -> Verdict:
    """Look at the states that each row may leave; if `deaf`, as if fdatasync did nothing."""
    states = 0
    wrong: list[str] = []
    for name in names:
        way = WAYS.get(name, Way())._replace(order=order, durability=durability)
        folder.mkdir(parents=True)
        recording = Recording(folder, way, ROWS[name], deaf)
        seen: dict[State, tuple[list[Any], str]] = {}
        for kind, call, begun, sure, state in _states(recording, limit):
            states += 1
            if state not in seen:
                seen[state] = _look(folder, state, recording)
            what = _wrong(recording, begun, sure, *seen[state])
            if what:
                wrong.append(f"{name}, {kind}, call {call} ({recording.events[call]!r:.90}), step {begun}: {what}")
    return Verdict(states, wrong)


def _states(recording: Recording, limit: int) -> Iterator[tuple[Kind, int, int, int, State]]:
    for kind in KINDS:
        chance = random.Random(kind)
        disk = Disk(kind)
        begun = sure = 0
        for call, event in enumerate(recording.events):
            disk.do(event)
            if isinstance(event, Step):
                begun = event.number
                if event.done and recording.way.durability == "full":
                    sure = event.number
            if not isinstance(event, Sync) and event != Step(begun, done=False):
                for state in disk.states(chance, limit):
                    yield kind, call, begun, sure, state


def _look(folder: Path, state: State, recording: Recording) -> tuple[list[Any], str]:
    """Return the values in a state, dead or alive, and what is to be said against it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        build(state, str(folder))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _values_in(folder / "queue", recording.way.order), ""
    except Exception as error:  # whatever it is, the queue does not open
        return [], f"{error!r}"
    finally:
        shutil.rmtree(folder)


def _values_in(folder: Path, order: str) -> list[Any]:
    """Return the values in a folder, delayed ones and readable letters too."""
    values = []
    with CLASSES[order](folder, clock=Clock(START + 1e9), visibility=9.0) as q:
        with contextlib.suppress(queue.Empty):
            while True:
                values.append(q.get(block=False).value)
        for number in q.dead_letters:
            with contextlib.suppress(ValueError, CorruptValueError):
                values.append(q.dead_letters[number].value())
    return sorted(values)


def _wrong(recording: Recording, begun: int, sure: int, values: list[Any], error: str) -> str:
    if error:
        return error
    if any(value not in recording.put for value in values):
        return f"never put: {short(values)}"
    if recording.way.durability != "full":
        return ""
    past = recording.there[sure : begun + 1]
    if values in past or _between(values, past):
        return ""
    return f"{short(values)} is none of {short(past)}"


def _between(values: list[Any], past: list[list[Any]]) -> bool:
    """Whether these are part of one and hold all of the other of two moments: items that were taken together."""
    return len(past) == 2 and all(value in past[0] for value in values) and all(value in values for value in past[1])

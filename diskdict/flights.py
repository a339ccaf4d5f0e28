"""One computation per key at a time, whose result goes to all who asked meanwhile: `Flights`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

R = TypeVar("R")


class _Flight(Generic[R]):
    """A computation under way. ``result`` is a list of one when it succeeded."""

    __slots__ = ("done", "owner", "result")

    def __init__(self, owner: int) -> None:
        self.owner = owner
        self.done = threading.Event()
        self.result: list[R] = []


class Flights(Generic[R]):
    """The computations under way, at most one for a key.

    Notes
    -----
    No lock is held while a computation runs. When it fails, its exception goes to the thread that ran it, and one of
    those who waited runs the next.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[str, _Flight[R]] = {}
        self._waiting: dict[int, _Flight[R]] = {}

    def join(self, key: str, compute: Callable[[], R]) -> tuple[R, bool]:
        """Return the result of `compute`, or of the one under way for `key`, and whether this thread computed it."""
        me = threading.get_ident()
        while True:
            with self._lock:
                flight = self._flights.get(key)
                if flight is None:
                    flight = self._flights[key] = _Flight(me)
                    break
                self._refuse_circle(key, flight, me)
                self._waiting[me] = flight
            self._wait(flight, me)
            if flight.result:
                return flight.result[0], False
        return self._lead(key, flight, compute), True

    def _lead(self, key: str, flight: _Flight[R], compute: Callable[[], R]) -> R:
        try:
            result = compute()
            flight.result.append(result)
            return result
        finally:
            with self._lock:
                del self._flights[key]
            flight.done.set()

    def _wait(self, flight: _Flight[R], me: int) -> None:
        try:
            flight.done.wait()
        finally:
            with self._lock:
                del self._waiting[me]

    def _refuse_circle(self, key: str, flight: _Flight[R], me: int) -> None:
        # Waiting for oneself, also by way of other threads that wait for each other's keys, would never end.
        follow: _Flight[R] | None = flight
        while follow is not None:
            if follow.owner == me:
                raise RuntimeError(f"the factory of {key!r} asks for what waits for it; compute it before instead")
            follow = self._waiting.get(follow.owner)

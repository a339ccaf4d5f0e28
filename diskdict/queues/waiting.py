"""What waits in a queue, what is delayed and what is in flight: `Waiting`. In memory, nothing of files or threads."""

from __future__ import annotations

import heapq
from array import array
from typing import Final, NamedTuple

from diskdict.queues.folder import Mark
from diskdict.queues.orders import Order

_FEW: Final = 64


class Flight(NamedTuple):
    """An item that was given and is not acknowledged: how often it was given, until when it stays away, its bytes."""

    deliveries: int
    until: float
    size: int


class Waiting:
    """The ids of all items of a queue, by what becomes of them.

    Parameters
    ----------
    order: Order
        Those that can be had.

    Notes
    -----
    The caller excludes other threads.
    """

    def __init__(self, order: Order) -> None:
        self.order = order
        self.delayed: dict[int, float] = {}
        self.flights: dict[int, Flight] = {}
        self.deliveries: dict[int, int] = {}
        self.keys: dict[str, int] = {}
        self._key_of: dict[int, str] = {}
        self._times: list[tuple[float, int]] = []
        self.returning: list[int] = []  # taken from the times, and not among those that can be had yet

    def __len__(self) -> int:
        return len(self.order) + len(self.delayed) + len(self.flights)

    @property
    def is_timed(self) -> bool:
        """Whether anything is delayed or in flight."""
        return bool(self._times) or bool(self.returning)

    @property
    def next_time(self) -> float | None:
        """When the next item can be had that cannot be had yet, None without one."""
        times = self._times
        while times and not self._is_current(*times[0]):
            heapq.heappop(times)
        return times[0][0] if times else None

    def _is_current(self, time: float, number: int) -> bool:
        flight = self.flights.get(number)
        return self.delayed.get(number) == time or (flight is not None and flight.until == time)

    def is_due(self, now: float) -> bool:
        """Return whether anything that was delayed or in flight can be had again."""
        times = self._times
        return (bool(times) and times[0][0] <= now) or bool(self.returning)

    def due(self, now: float) -> list[int]:
        """Return the items that were delayed or in flight until now: they are neither any longer, but ``returning``."""
        times = self._times
        while times and times[0][0] <= now:
            time, number = times[0]
            if self._is_current(time, number):
                self.returning.append(number)
            heapq.heappop(times)
            if self.returning:
                self.delayed.pop(self.returning[-1], None)
                self.flights.pop(self.returning[-1], None)
        return self.returning

    def delay(self, number: int, until: float) -> None:
        """Have an item wait."""
        self.delayed[number] = until
        self._expect(until, number)

    def give(self, number: int, deliveries: int, until: float, size: int) -> None:
        """Have an item be in flight."""
        self.flights[number] = Flight(deliveries, until, size)
        self.deliveries[number] = deliveries
        self._expect(until, number)

    def _expect(self, time: float, number: int) -> None:
        heapq.heappush(self._times, (time, number))
        if len(self._times) > 2 * (len(self.delayed) + len(self.flights)) + _FEW:
            # Most are of items that were acknowledged, or given for longer.
            self._times = [each for each in self._times if self._is_current(*each)]
            heapq.heapify(self._times)

    def bind(self, number: int, key: str) -> None:
        """Keep the ``dedupe_key`` of an item."""
        self.keys[key] = number
        self._key_of[number] = key

    def forget(self, number: int) -> None:
        """Forget what is known of an item that is gone, but for its place among those that can be had."""
        if self._key_of:
            key = self._key_of.pop(number, None)
            if key is not None and self.keys.get(key) == number:
                del self.keys[key]
        self.deliveries.pop(number, None)

    def clear(self) -> None:
        """Forget all items."""
        self.returning = []
        self.order.clear()
        for each in (self.delayed, self.flights, self.deliveries, self.keys, self._key_of, self._times):
            each.clear()

    def ids(self) -> array[int]:
        """Return the ids of all items, the smallest first."""
        ids = self.order.ids()
        return array("q", sorted([*ids, *self.delayed, *self.flights])) if self.delayed or self.flights else ids

    def marks(self) -> dict[int, Mark]:
        """Return what is known of the items that do not simply wait for the first time."""
        return {
            number: Mark(self.delayed.get(number, 0.0), self.deliveries.get(number, 0), self._key_of.get(number, ""))
            for number in {*self.delayed, *self.deliveries, *self._key_of}
        }

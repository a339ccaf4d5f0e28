"""Items that are acknowledged, or given back: `Acknowledging`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TypeVar, cast

from diskdict.queues.blocking import Blocking
from diskdict.queues.given import Delivery
from diskdict.store import Seconds, seconds

V = TypeVar("V")


class Acknowledging(Blocking[V]):
    """What becomes of what was given by a queue with ``visibility``; without it these methods are a ValueError."""

    def ack(self, delivery: Delivery[V]) -> bool:
        """Remove an item that was given; it counts as done.

        False if it is gone, or was given again since: then somebody else has it. ValueError without ``visibility``.
        """
        with self.mutex:
            self._check_delivery(delivery)
            done = self._engine.acknowledge(delivery.id, delivery.deliveries)
            if done:
                self._count_done(1)
            self._balance()
            change = self._folder.changes
        self._after(change)
        return done

    def nack(self, delivery: Delivery[V], *, delay: Seconds = 0) -> bool:
        """Give an item back, to its place, after `delay` seconds.

        False as in `ack`. ValueError without ``visibility``.
        """
        seconds = checked_delay(delay)
        with self.mutex:
            self._check_delivery(delivery)
            done = self._engine.refuse(delivery.id, delivery.deliveries, seconds)
            self._came(1)
            change = self._folder.changes
        self._after(change)
        return done

    def extend(self, delivery: Delivery[V], visibility: Seconds | None = None) -> bool:
        """Keep an item from others for `visibility` seconds from now, or for those of the queue; False as in `ack`."""
        with self.mutex:
            self._check_delivery(delivery)
            seconds = self._terms.visibility if visibility is None else checked_delay(visibility)
            done = self._engine.extend(delivery.id, delivery.deliveries, cast(float, seconds))
            self._came(1)
        return done

    def _check_delivery(self, delivery: Delivery[V]) -> None:
        if self._terms.visibility is None:
            raise ValueError("nothing is to be acknowledged in a queue without visibility=: what was got is gone")
        if not isinstance(delivery, Delivery):
            raise TypeError(f"what get() has given is asked for, a Delivery, not {delivery!r}")
        if not self._ready:
            self._prepare()

    @contextlib.contextmanager
    def processing(self, block: bool = True, timeout: float | None = None) -> Iterator[Delivery[V]]:
        """Get an item, acknowledge it at the end of the block, give it back where that raises.

        A block that takes longer than ``visibility`` may be one of two for the same item; `extend` keeps it.
        """
        if self._terms.visibility is None:
            raise ValueError("processing() takes a queue with visibility=; without it what was got is gone")
        delivery = cast(Delivery[V], self.get(block, timeout))
        try:
            yield delivery
        except BaseException:
            self.nack(delivery)
            raise
        self.ack(delivery)


def checked_delay(delay: Seconds) -> float:
    """Return `delay` as seconds, or raise ValueError."""
    if delay == 0 and type(delay) is int:
        return 0.0
    try:
        return seconds(delay)
    except ValueError:
        raise ValueError(f"seconds from 0 are asked for (int, float, timedelta), not {delay!r}") from None

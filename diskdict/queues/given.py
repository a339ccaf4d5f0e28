"""What a queue gives and tells: `Delivery`, `Counts`; and on which `Terms`."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from diskdict.queues.items import MOST_DELIVERIES
from diskdict.repeating import checked_interval
from diskdict.store import Seconds

V = TypeVar("V")


class Delivery(NamedTuple, Generic[V]):
    """An item that was given and is to be acknowledged.

    ``id`` is of this item alone, ``deliveries`` how often it was given, 1 at first, ``put_time`` seconds since
    the epoch.
    """

    value: V
    id: int
    deliveries: int
    put_time: float


class Counts(NamedTuple):
    """How many items can be had, cannot be had yet, are being worked on, were given up."""

    ready: int
    delayed: int
    in_flight: int
    dead: int


class Terms(NamedTuple):
    """For how many seconds an item is given, and how often before it is given up; None: once for all, and never."""

    visibility: float | None
    max_deliveries: int | None


def checked_terms(visibility: Seconds | None, max_deliveries: int | None) -> Terms:
    """Return the terms that these options are, or raise ValueError."""
    if visibility is None:
        if max_deliveries is not None:
            raise ValueError("max_deliveries= counts deliveries, which only a queue with visibility= has")
        return Terms(None, None)
    if max_deliveries is not None and not (type(max_deliveries) is int and 1 <= max_deliveries <= MOST_DELIVERIES):
        raise ValueError(f"max_deliveries is an int from 1 to {MOST_DELIVERIES}, not {max_deliveries!r}")
    return Terms(checked_interval("visibility", visibility), max_deliveries)

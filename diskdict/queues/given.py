"""What a queue gives and tells: `Delivery`, `Counts`; and on which `Terms`."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

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

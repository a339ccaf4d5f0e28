"""A bounded memory of payloads, so that what is read often is not read from the disk each time."""

from __future__ import annotations

import threading
from collections import OrderedDict

from diskdict.store import Record


class Kept:
    """A payload, when it expires, its record if that was read, and whether it was read again lately."""

    __slots__ = ("expires", "payload", "record", "used")

    def __init__(self, payload: bytes, expires: float, record: Record | None) -> None:
        self.payload = payload
        self.expires = expires
        self.record = record
        self.used = False


class PayloadCache:
    """The payloads that were read, up to a number of bytes; the oldest that was not read again goes first.

    Parameters
    ----------
    max_bytes: int
        What the payloads may take together. One that is larger than all of it is not kept.

    Notes
    -----
    A writer calls `begin` before it touches the disk and `end` after; between them nothing is kept. A reader takes the
    `ticket` before it asks the disk and hands it in with what it read; a ticket from before or during a change is void.
    Otherwise a slow reader could put back what a writer has just replaced.

    Who finds something in `kept` sets its mark ``used``, and needs no lock for that. What is to go and has the mark
    gets a second chance, at the end of the row and without it (Corbato, A Paging Experiment with the Multics System,
    1968).
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._bytes = 0
        self.kept: OrderedDict[str, Kept] = OrderedDict()
        self.ticket = 0

    def put(self, key: str, payload: bytes, expires: float, ticket: int, record: Record | None = None) -> None:
        """Keep a payload that was read after `ticket` was taken, unless anything has changed since."""
        if len(payload) > self._max_bytes:
            return
        with self._lock:
            if ticket != self.ticket or ticket % 2:
                return
            if key in self.kept:
                self.kept[key].record = record or self.kept[key].record
                return
            self.kept[key] = Kept(payload, expires, record)
            self._bytes += len(payload)
            while self._bytes > self._max_bytes:
                first, kept = self.kept.popitem(last=False)
                if kept.used:
                    kept.used = False
                    self.kept[first] = kept
                else:
                    self._bytes -= len(kept.payload)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self.ticket += 2
            self.kept.clear()
            self._bytes = 0

    def begin(self, key: str) -> None:
        """Forget a key that is about to change, and keep nothing until `end`."""
        with self._lock:
            self.ticket |= 1
            kept = self.kept.pop(key, None)
            if kept is not None:
                self._bytes -= len(kept.payload)

    def end(self) -> None:
        """Keep what is read from now on."""
        self.ticket += self.ticket % 2

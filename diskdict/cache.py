"""A bounded memory of payloads, so that what is read often is not read from the disk each time."""

from __future__ import annotations

import threading
from collections import OrderedDict


class PayloadCache:
    """The payloads read last, up to a number of bytes; the one not used for longest goes first.

    Parameters
    ----------
    max_bytes: int
        What the payloads may take together. One that is larger than all of it is not kept.

    Notes
    -----
    A writer calls `begin` before it touches the disk and `end` after; between them nothing is kept. A reader takes the
    `ticket` before it asks the disk and hands it in with what it read; a ticket from before or during a change is void.
    Otherwise a slow reader could put back what a writer has just replaced.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._payloads: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._bytes = 0
        self.ticket = 0

    def get(self, key: str) -> tuple[bytes, float] | None:
        """Return a payload and its expiry, or None."""
        with self._lock:
            found = self._payloads.get(key)
            if found is not None:
                self._payloads.move_to_end(key)
            return found

    def put(self, key: str, payload: bytes, expires: float, ticket: int) -> None:
        """Keep a payload that was read after `ticket` was taken, unless anything has changed since."""
        if len(payload) > self._max_bytes:
            return
        with self._lock:
            if ticket != self.ticket or ticket % 2 or key in self._payloads:
                return
            self._payloads[key] = payload, expires
            self._bytes += len(payload)
            while self._bytes > self._max_bytes:
                _, (dropped, _) = self._payloads.popitem(last=False)
                self._bytes -= len(dropped)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self.ticket += 2
            self._payloads.clear()
            self._bytes = 0

    def begin(self, key: str) -> None:
        """Forget a key that is about to change, and keep nothing until `end`."""
        with self._lock:
            self.ticket |= 1
            found = self._payloads.pop(key, None)
            if found is not None:
                self._bytes -= len(found[0])

    def end(self) -> None:
        """Keep what is read from now on."""
        self.ticket += self.ticket % 2

"""Payloads too large for the object of their key: `Apart`."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from typing import Final

from diskdict.backends.objects.bucket import Bucket
from diskdict.backends.objects.lines import Given, Held
from diskdict.backends.objects.streams import Payload
from diskdict.errors import ClosedError
from diskdict.store import Stat

LARGE: Final = 1 << 23
"""Bytes from which a payload is an object of its own: a fixed part of the format, but for files by key."""
_WHOLE: Final = frozenset({"bytes"})
"""Codecs of values that have an object of their own whatever their size, so that a URL leads to the value alone."""

_FOLDER: Final = "large"
_FORGOTTEN: Final = 86_400.0
"""Seconds after which nobody is any more about to refer to it."""


def place_of(key: str, held: Held) -> str:
    """Return the name of the object of a payload: no two payloads ever have the same."""
    if held.place is not None:
        return held.place
    return f"{_FOLDER}/{sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}/{held.stat.version}"


def new_place() -> str:
    """Return a name for a payload of whose record nothing is known yet."""
    return f"{_FOLDER}/{secrets.token_hex(16)}"


class Apart:
    """Large payloads, as objects that are written once, before what refers to them.

    Parameters
    ----------
    bucket: Bucket
        Where they are.
    codec: str
        The name of the codec.

    Notes
    -----
    What is removed here while somebody reads it here is there until he has closed it.
    """

    def __init__(self, bucket: Bucket, codec: str) -> None:
        self.bucket = bucket
        self.least = 0 if codec in _WHOLE else LARGE
        self._turn = threading.RLock()  # who forgets a stream may come by at any moment
        self._readers: Counter[str] = Counter()
        self._to_remove: set[str] = set()

    def has(self, held: Held) -> bool:
        """Say whether the payload of a record has an object of its own."""
        return held.stat.size >= self.least

    def amended(self, key: str, given: Given, stat: Stat) -> Given:
        """Return a record with another stat, whose payload stays where it is."""
        place = place_of(key, given.held) if self.has(given.held) else None
        return Given(Held(stat, place), given.payload)

    def keep(self, key: str, held: Held, payload: bytes) -> bool:
        """Keep the payload of a record, if it is large and not here yet; return whether this was done."""
        name = place_of(key, held)
        if not self.has(held) or self.bucket.get(name, head=True) is not None:
            return False
        self.bucket.put(name, payload)
        return True

    def get(self, key: str, held: Held) -> bytes | None:
        """Return a large payload; None if it is not there any more."""
        return self.bucket.in_pieces(place_of(key, held), held.stat.size)

    def opened(self, key: str, held: Held) -> Payload | None:
        """Return a large payload, which is not empty, as a stream; None if it is not there any more."""
        name = place_of(key, held)
        with self._turn:
            self._readers[name] += 1
        payload = Payload(self.bucket, name, key, held.stat.size, held.stat.checksum, lambda: self._left(name))
        try:
            there = payload.begin()
        except BaseException:
            payload.close()
            raise
        if not there:
            payload.close()
        return payload if there else None

    def _left(self, name: str) -> None:
        # What stays is removed when the store is swept.
        with suppress(OSError, ClosedError):
            # Raises in a forked child, where nobody may be left to give the lock back.
            self.bucket.client()
            with self._turn:
                self._readers[name] -= 1
                if self._readers[name] > 0:
                    return
                del self._readers[name]
                if name not in self._to_remove:
                    return
                self._to_remove.remove(name)
            self.bucket.delete(name)

    def remove(self, name: str) -> None:
        """Remove a payload, as soon as nobody reads it here."""
        with self._turn:
            if name in self._readers:
                self._to_remove.add(name)
                return
        self.bucket.delete(name)

    def location(self, key: str, held: Held) -> str:
        """Return a URL of a payload. ValueError where it has no object of its own, or the service no URLs."""
        if not self.has(held):
            raise ValueError(f"the object of {key!r} has more in it than its value; stores of files by key have URLs")
        return self.bucket.signed(place_of(key, held))

    def discard(self, key: str, held: Held | None, keeping: Held | None = None) -> None:
        """Remove the payload of a record that is not there any more, if it is large, and not that of another record."""
        if held is not None and self.has(held):
            name = place_of(key, held)
            if keeping is None or name != place_of(key, keeping):
                self.remove(name)

    def tidy(self, records: Iterable[tuple[str, Held]]) -> None:
        """Remove what was left here long ago and belongs to none of the records, which are all there are."""
        used = {place_of(key, held) for key, held in records if self.has(held)}
        for name, _, modified in list(self.bucket.names(_FOLDER)):
            if name not in used and time.time() - modified > _FORGOTTEN:
                self.remove(name)

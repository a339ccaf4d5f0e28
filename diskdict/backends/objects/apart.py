"""Payloads too large for the object of their key: `Apart`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from diskdict.backends.objects.bucket import Bucket
from diskdict.backends.objects.streams import Payload
from diskdict.store import Stat

LARGE: Final = 1 << 23
"""Bytes from which a payload is an object of its own: a fixed part of the format, but for files by key."""
_WHOLE: Final = frozenset({"bytes"})
"""Codecs of values that have an object of their own whatever their size, so that a URL leads to the value alone."""

_FOLDER: Final = "large"
_FORGOTTEN: Final = 86_400.0
"""Seconds after which nobody is any more about to refer to it."""


def name_of(key: str, version: int) -> str:
    """Return the name of the object of a payload: no two states of keys have the same."""
    return f"{_FOLDER}/{sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}/{version}"


class Apart:
    """Large payloads, as objects that are written once, in several requests at a time, before what refers to them.

    Parameters
    ----------
    bucket: Bucket
        Where they are.
    codec: str
        The name of the codec.
    """

    def __init__(self, bucket: Bucket, codec: str) -> None:
        self._bucket = bucket
        self.least = 0 if codec in _WHOLE else LARGE

    def keep(self, key: str, stat: Stat, payload: bytes) -> bool:
        """Keep the payload of a record, if it is large and not here yet; return whether this was done."""
        name = name_of(key, stat.version)
        if stat.size < self.least or self._bucket.get(name, head=True) is not None:
            return False
        self._bucket.put(name, payload)
        return True

    def get(self, key: str, stat: Stat) -> bytes | None:
        """Return a large payload; None if it is not there any more."""
        return self._bucket.in_pieces(name_of(key, stat.version), stat.size)

    def streamed(self, key: str, stat: Stat) -> Payload | None:
        """Return a large payload as it comes; None if it is not there any more."""
        found = self._bucket.result(name_of(key, stat.version))
        return None if found is None else Payload(iter(found.stream()), stat.size, self._bucket.server)

    def location(self, key: str, stat: Stat) -> str:
        """Return a URL of a payload. ValueError where it has no object of its own, or the service no URLs."""
        if stat.size < self.least:
            raise ValueError(f"the object of {key!r} has more in it than its value; stores of files by key have URLs")
        return self._bucket.signed(name_of(key, stat.version))

    def discard(self, key: str, *stats: Stat | None) -> None:
        """Remove the payloads of records that are not there any more, if they are large."""
        for stat in stats:
            if stat is not None and stat.size >= self.least:
                self._bucket.delete(name_of(key, stat.version))

    def tidy(self, records: Iterable[tuple[str, Stat]]) -> None:
        """Remove what was left here long ago and belongs to none of the records, which are all there are."""
        used = {name_of(key, stat.version) for key, stat in records if stat.size >= self.least}
        for name, _, modified in list(self._bucket.names(_FOLDER)):
            if name not in used and time.time() - modified > _FORGOTTEN:
                self._bucket.delete(name)

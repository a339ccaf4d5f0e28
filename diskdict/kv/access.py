"""When keys were read, written down among their metadata: `Accesses`."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Final

from diskdict.errors import DiskDictError
from diskdict.info import pack, unpack
from diskdict.keys import encode
from diskdict.kv.metadata import ACCESSED
from diskdict.kv.names import StoreKey
from diskdict.store import Record, Seconds, Stat, Store, seconds

RESOLUTION: Final = 60.0
"""Seconds within which a key that is read again is not written down again."""

_MOST: Final = 10_000
"""Keys of which it is remembered here when they were read."""


class Accesses:
    """Writes down when keys were read.

    Parameters
    ----------
    resolution: int, float or timedelta
        Seconds within which a key is not written down again; 0: each time it is read.

    Notes
    -----
    A key is changed only if nobody else has done so meanwhile, and it is no matter if it cannot be: the next to read it
    tries again. That it was read changes its version, not when it was updated.
    """

    def __init__(self, resolution: Seconds) -> None:
        self._resolution = _checked(resolution)
        self._known: dict[str, float] = {}

    def note(self, store: Store, keys: Collection[StoreKey]) -> None:
        """Write down that keys were read just now. Nothing is raised."""
        if store.readonly:
            return
        with suppress(DiskDictError, OSError):
            now = store.clock()
            due = [text for text in map(encode, keys) if not self._is_recent(self._known.get(text), now)]
            if len(due) == 1:
                stat = store.stat(due[0])
                found: dict[str, Stat] | dict[str, Record] = {} if stat is None else {due[0]: stat}
            else:
                found = store.get_many(due) if due else {}
            for text, one in found.items():
                self._write(store, text, one, now)

    def _write(self, store: Store, text: str, found: Stat | Record, now: float) -> None:
        metadata = unpack(found.meta)
        if found.meta and not metadata:
            return  # somebody else's, and not understood
        before = metadata.get(ACCESSED)
        if not self._is_recent(before, now):
            meta = pack({**metadata, ACCESSED: now})
            with suppress(DiskDictError, OSError):
                if store.amend(text, meta=meta, only_if=found.version) is not None:
                    self._remember(text, now)
        elif isinstance(before, (int, float)):
            self._remember(text, before)

    def _is_recent(self, before: object, now: float) -> bool:
        return isinstance(before, (int, float)) and before <= now < before + self._resolution

    def _remember(self, text: str, time: float) -> None:
        if self._resolution:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[text] = time


def _checked(resolution: Seconds) -> float:
    try:
        return seconds(resolution)
    except ValueError:
        raise ValueError(f"access_resolution is a number of seconds from 0, not {resolution!r}") from None

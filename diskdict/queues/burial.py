"""From the files of a queue to its dead letters: `Burial`."""

from __future__ import annotations

import warnings
from typing import Final

from diskdict.errors import CorruptValueError, DiskDictError
from diskdict.queues.dead import Graveyard
from diskdict.queues.folder import QueueFolder
from diskdict.queues.items import Damage
from diskdict.queues.segmentfiles import Segment

_LONGEST: Final = 300  # characters of a reason: some errors have the whole value in them


class Burial:
    """Has the graveyard keep what a queue gives up, as far as it can be read.

    Notes
    -----
    An item that the graveyard cannot keep stays in its file, to be found at the next opening; a RuntimeWarning says so.
    """

    def __init__(self, folder: QueueFolder, graveyard: Graveyard) -> None:
        self._folder = folder
        self._graveyard = graveyard

    def bury(self, number: int, reason: str, deliveries: int) -> bool:
        """Keep an item; return whether it was kept, and is to be removed from its file."""
        segments = self._folder.segments
        try:
            payload = segments.read(number)
            put_time: float | None = segments.put_time(number)
        except CorruptValueError:
            payload, put_time = segments.raw(number), None
        return self._keep(number, payload, reason, deliveries, put_time)

    def bury_damage(self, segment: Segment, damage: Damage) -> None:
        """Keep what is damaged, and have nothing be in its place."""
        segments = self._folder.segments
        if self._keep(segment.first + damage.at, segments.content(segment, damage), "damaged", 0, None):
            segments.erase(segment, damage)

    def _keep(self, number: int, payload: bytes, reason: str, deliveries: int, put_time: float | None) -> bool:
        try:
            self._graveyard.add(number, payload, reason, deliveries, put_time)
        except (OSError, DiskDictError) as error:
            path = self._folder.folder.path
            warnings.warn(f"item {number} of {path} ({reason}) is left out: {error}", RuntimeWarning, stacklevel=1)
            return False
        return True


def reason_of(error: Exception) -> str:
    """Return the sentence about an item that reading it has raised."""
    if isinstance(error, CorruptValueError):
        return f"damaged: {error.detail}"
    return f"cannot be decoded: {error!r}"[:_LONGEST]

"""What is to be stored under a key, before it is known what is there: `Put`."""

from __future__ import annotations

from typing import NamedTuple

from diskdict.backends.objects.lines import Given, Held
from diskdict.checksums import crc32
from diskdict.store import NEVER, Stat


class Content(NamedTuple):
    """A payload: its bytes, or else the name of the object that it is already."""

    size: int
    checksum: int
    payload: bytes | None
    place: str | None = None


def content_of(payload: bytes) -> Content:
    """Return a payload that nobody has sent yet."""
    return Content(len(payload), crc32(payload), payload)


class Put(NamedTuple):
    """The arguments of `Store.put`."""

    content: Content
    expires: float = NEVER
    meta: str | None = None
    spelling: str | None = None
    created: float | None = None

    def over(self, old: Stat | None, now: float, version: int) -> Given:
        """Return the record in the place of a live one, or of none."""
        if old is not None:
            place = old.order, old.created
            spelling = old.spelling
        else:
            place = version, now if self.created is None else self.created
            spelling = self.spelling
        size, checksum, payload, name = self.content
        stat = Stat(size, checksum, *place, now, self.expires, version, self.meta or None, spelling)
        return Given(Held(stat, name), payload)

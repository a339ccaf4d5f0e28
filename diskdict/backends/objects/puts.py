"""What is to be stored under a key, before it is known what is there: `Put`."""

from __future__ import annotations

from typing import NamedTuple

from diskdict.store import NEVER, Record, Stat


class Put(NamedTuple):
    """The arguments of `Store.put`."""

    payload: bytes
    expires: float = NEVER
    meta: str | None = None
    spelling: str | None = None
    created: float | None = None

    def over(self, old: Record | Stat | None, now: float, version: int) -> Record:
        """Return the record in the place of a live one, or of none."""
        if old is not None:
            place = old.order, old.created
            spelling = old.spelling
        else:
            place = version, now if self.created is None else self.created
            spelling = self.spelling
        return Record(self.payload, *place, now, self.expires, version, self.meta or None, spelling)

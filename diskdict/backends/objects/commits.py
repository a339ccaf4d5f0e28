"""Changes of several keys as one, which no service has: `Commits`."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

from diskdict.backends.objects.bucket import Stamp
from diskdict.backends.objects.cells import Cells
from diskdict.backends.objects.crew import Crew
from diskdict.backends.objects.lines import Given, Line
from diskdict.backends.objects.seeing import CHANGES, MADE, NOT_MADE
from diskdict.errors import ConflictError
from diskdict.store import ABSENT, Clock, OnlyIf, Stat

Make = Callable[[Stat | None], Given | None]
"""Makes of the live record of a key, or of None, what is to be there."""

_FORGOTTEN: Final = 86_400.0
"""Seconds after which nobody is at work any more on a change that was not made."""


class Placed(NamedTuple):
    """A key on its way: the state of its object, the record before, and the one after."""

    key: str
    stamp: Stamp
    before: Given | None
    after: Given | None


class Commits:
    """Makes changes of several keys as one.

    Each key's object first becomes one that has both its records, the present and the new one, and the name of the
    change. Then an object of that name is made: at this moment all of it is so. Then each key's object becomes its new
    record. Who reads meanwhile looks for the object of that name. Who writes waits for it, and at last makes one
    himself, which says that nothing was changed; of two changes the elder is waited for, and the younger begins again.

    Parameters
    ----------
    cells: Cells
        The objects of keys.
    clock: callable
        The time now, as expiry has it.
    crew: Crew
        Does things at the same time.
    """

    def __init__(self, cells: Cells, clock: Clock, crew: Crew) -> None:
        self._cells = cells
        self._clock = clock
        self._crew = crew

    def make(self, makes: Mapping[str, Make], expected: Mapping[str, OnlyIf]) -> dict[str, Placed]:
        """Change all keys of `makes` as one, and return what was there and what is.

        ConflictError, and nothing is changed, where a key of `expected` has not that version.
        """
        age = self._cells.numbers.next()
        while True:
            placed = self._attempt(f"{age:019}-{secrets.token_hex(6)}", makes, expected)
            if placed is not None:
                return placed

    def _attempt(
        self, change: str, makes: Mapping[str, Make], expected: Mapping[str, OnlyIf]
    ) -> dict[str, Placed] | None:
        placed: dict[str, Placed] = {}

        def place(key: str) -> None:
            placed[key] = self._placed(change, key, makes.get(key), expected)

        keys = list(dict.fromkeys([*makes, *expected]))
        try:
            self._crew.each(place, keys)
        except BaseException:
            # Nobody else ever says that it was made.
            self._resolve(change, placed, made=False)
            raise
        try:
            made = self._cells.decide(change, MADE, json.dumps(keys))
        except BaseException:
            # Whether it was made is not known: this says so, or that it never will be.
            if self._cells.decide(change, NOT_MADE):
                self._resolve(change, placed, made=False)
                raise
            made = True
        self._resolve(change, placed, made=made)
        return placed if made else None

    def _placed(self, change: str, key: str, make: Make | None, expected: Mapping[str, OnlyIf]) -> Placed:
        cells = self._cells
        while True:
            view = cells.settled(key, whole=True, elder=change)
            before = None if view.stat is None or view.stat.expires <= self._clock() else cells.given(view)
            old = None if before is None else before.held.stat
            version = ABSENT if old is None else old.version
            if expected.get(key, version) != version:
                raise ConflictError(f"{key!r} was changed or removed by others; read it again and repeat")
            after = before if make is None else make(old)
            if make is not None and after is not None:
                after = _at(after, cells.numbers.next(above=0 if old is None else old.version))
            line = Line(cells.numbers.next(), None, before and before.held, change, after and after.held)
            stamp = cells.write(key, line, view.stamp, before and before.payload, after and after.payload)
            if stamp is not None:
                return Placed(key, stamp, before, after)

    def _resolve(self, change: str, placed: Mapping[str, Placed], *, made: bool) -> None:
        # What is not done here is done by whoever comes to change the key.
        with suppress(OSError):
            self._crew.each(lambda one: self._settle(one, made), list(placed.values()))
            self._cells.bucket.delete(f"{CHANGES}/{change}")

    def _settle(self, one: Placed, made: bool) -> None:
        now, left = (one.after, one.before) if made else (one.before, one.after)
        if now is None:
            self._cells.remove(one.key, one.stamp)
        else:
            line = Line(now.held.stat.version, record=now.held)
            self._cells.write(one.key, line, one.stamp, now.payload)
        # What was not sent here may be wanted when this is tried again.
        if left is not None and (made or left.payload is not None):
            self._cells.apart.discard(one.key, left.held, now and now.held)

    def tidy(self) -> None:
        """Finish what others have left of their changes."""
        bucket = self._cells.bucket
        for name, _, modified in list(bucket.names(CHANGES)):
            seen = bucket.get(name)
            outcome, _, keys = (b"", b"", b"") if seen is None else seen.body.partition(b"\n")
            change = name.removeprefix(f"{CHANGES}/")
            if outcome == MADE:
                self._crew.each(partial(self._cells.finish, change), json.loads(keys))
            elif time.time() - modified < _FORGOTTEN:
                continue
            bucket.delete(name)


def _at(given: Given, version: int) -> Given:
    return given._replace(held=given.held._replace(stat=given.held.stat._replace(version=version)))

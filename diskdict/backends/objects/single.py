"""A store of objects, as far as it reads and changes one key, and knows of all: `Single`."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from diskdict.backends.objects.bucket import Bucket
from diskdict.backends.objects.cells import Cells
from diskdict.backends.objects.commits import Commits
from diskdict.backends.objects.crew import Crew
from diskdict.backends.objects.lines import Given, Line, record_of, stat_of
from diskdict.backends.objects.manifest import Manifest
from diskdict.backends.objects.puts import Put, content_of
from diskdict.backends.objects.seeing import View
from diskdict.errors import KeyNotFoundError
from diskdict.keys import decode
from diskdict.limits import Limits, checked
from diskdict.messages import Listed
from diskdict.mutex import LockLike, mutation_locks
from diskdict.store import ABSENT, NEVER, Clock, OnlyIf, Record, Stat, Store
from diskdict.uploads import Located

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

_STREAMED: Final = 1 << 20
"""Bytes from which a payload is read as it comes."""
_REMOVAL: Final = 600.0
"""Seconds that the removal of an object may take by a client whose patience is not known."""


class Single(Store, Located):
    """What `ObjectStore` is made with, and does with one key."""

    shared = True

    def __init__(
        self,
        client: Client,
        *,
        prefix: str = "",
        server: str | None = None,
        codec: str = "json",
        clock: Clock = time.time,
        lock: LockLike | None = None,
        limits: Limits | None = None,
        removal: float = _REMOVAL,
        monotonic: Clock = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.clock = clock
        self._bucket = Bucket(client, prefix, server or str(client))
        self._manifest = Manifest(self._bucket, codec)
        self._cells = Cells(self._bucket, codec, removal, monotonic=monotonic, sleep=sleep)
        self._crew = Crew()
        self._commits = Commits(self._cells, clock, self._crew)
        self._limits = checked(limits)
        self._changing, self._alone = mutation_locks(lock)
        if self._limits.total_bytes is not None:
            self._changing = self._alone
        self._changes = 0

    # ---- one key

    def get(self, key: str) -> Record | None:
        self._manifest.meet()
        return self._record(key, self._cells.read(key))

    def stat(self, key: str) -> Stat | None:
        self._manifest.meet()
        return self._live(self._cells.look(key))

    def contains(self, key: str) -> bool:
        return self.stat(key) is not None

    def location(self, key: str) -> str:
        """Return a signed URL of the payload as it is now, which anybody can read for an hour, or until it is replaced.

        KeyError where there is none; ValueError where the payload has no object of its own, or the service no URLs.
        """
        self._manifest.meet()
        view = self._cells.look(key)
        if self._live(view) is None or view.held is None:
            raise KeyNotFoundError(decode(key))
        return self._cells.apart.location(key, view.held)

    def spelling(self, key: str) -> str:
        if isinstance(key, Listed):
            return key.spelling
        stat = self.stat(key)
        return key if stat is None or stat.spelling is None else stat.spelling

    def open(self, key: str) -> BinaryIO | None:
        found = self._opened(key)
        return None if found is None else found[1]

    def _opened(self, key: str) -> tuple[Stat, BinaryIO] | None:
        """Return a live record and a stream over its payload."""
        self._manifest.meet()
        while True:
            view = self._cells.look(key)
            stat = self._live(view)
            if stat is None:
                return None
            if stat.size < max(_STREAMED, self._cells.apart.least):
                record = self.get(key)
                return None if record is None else (stat_of(record), io.BytesIO(record.payload))
            payload = self._cells.opened(view)
            if payload is not None:
                return stat, cast(BinaryIO, io.BufferedReader(payload, _STREAMED))

    def _live(self, view: View) -> Stat | None:
        return None if view.stat is None or view.stat.expires <= self.clock() else view.stat

    def _record(self, key: str, view: View) -> Record | None:
        stat = self._live(view)
        return None if stat is None else record_of(key, stat, view.payload)

    def _views(self, key: str) -> Iterator[tuple[View, bool]]:
        """Yield what is there, as it was when it was last seen here and then as it is now; and which of both it is."""
        known = self._cells.known(key)
        if known is not None:
            yield known, False
        while True:
            yield self._cells.settled(key, whole=False), True

    def put(
        self,
        key: str,
        payload: bytes,
        *,
        expires: float = NEVER,
        meta: str | None = None,
        spelling: str | None = None,
        created: float | None = None,
        only_if: OnlyIf = None,
    ) -> int | None:
        return self._put(key, Put(content_of(payload), expires, meta, spelling, created), only_if)

    def _put(self, key: str, wanted: Put, only_if: OnlyIf = None) -> int | None:
        with self._changing():
            self._manifest.make()
            if only_if is None and not self._bucket.understood().conditions:
                return self._overwrite(key, wanted)
            for view, fresh in self._views(key):
                old = self._live(view)
                if holds(only_if, old):
                    self._make_room(wanted.content.size - (0 if old is None else old.size))
                    given = wanted.over(old, self.clock(), self._cells.numbers.next(old.version if old else 0))
                    if self._write(key, given, view):
                        self._changes += old is None
                        return given.held.stat.version
                elif fresh:
                    break
        return None

    def _write(self, key: str, given: Given, view: View) -> bool:
        line = Line(given.held.stat.version, record=given.held)
        done = self._cells.write(key, line, view.stamp, given.payload) is not None
        if done:
            self._cells.apart.discard(key, view.held, given.held)
        return done

    def _overwrite(self, key: str, wanted: Put) -> int:
        view = self._cells.look(key)
        old = self._live(view)
        self._make_room(wanted.content.size - (0 if old is None else old.size))
        held, payload = wanted.over(old, self.clock(), self._cells.numbers.next())
        self._cells.overwrite(key, Line(held.stat.version, record=held), payload)
        self._cells.apart.discard(key, view.held)
        self._changes += old is None
        return held.stat.version

    def amend(
        self, key: str, *, expires: float | None = None, meta: str | None = None, only_if: int | None = None
    ) -> int | None:
        with self._changing():
            self._manifest.make()
            while True:
                view = self._cells.settled(key, whole=True)
                stat = self._live(view)
                given = self._cells.given(view)
                if stat is None or given is None or not holds(only_if, stat):
                    return None
                if expires is not None:
                    stat = stat._replace(expires=expires)
                if meta is not None:
                    stat = stat._replace(meta=meta or None)
                stat = stat._replace(version=self._cells.numbers.next(stat.version))
                if self._write(key, self._cells.apart.amended(key, given, stat), view):
                    return stat.version

    def delete(self, key: str, *, only_if: int | None = None) -> bool:
        with self._changing():
            self._manifest.meet()
            if only_if is None and not self._bucket.understood().conditions:
                return self._drop(key)
            for view, fresh in self._views(key):
                old = self._live(view)
                if old is not None and holds(only_if, old):
                    if self._removed(view):
                        self._changes += 1
                        return True
                elif fresh:
                    break
        return False

    def _removed(self, view: View) -> bool:
        done = view.stamp is not None and self._cells.remove(view.key, view.stamp)
        if done:
            self._cells.apart.discard(view.key, view.held)
        return done

    def _drop(self, key: str) -> bool:
        view = self._cells.look(key)
        there = self._live(view) is not None
        if there:
            self._cells.drop(key)
            self._cells.apart.discard(key, view.held)
            self._changes += 1
        return there

    # ---- what is there in all

    def _stats(self, prefix: str = "") -> list[tuple[str, Stat]]:
        """Return all records whose keys begin with `prefix`, the expired too."""
        return [(view.key, view.stat) for view in self._seen(prefix) if view.stat is not None]

    def _seen(self, prefix: str) -> list[View]:
        self._manifest.meet()
        listed = list(self._cells.listed(prefix))
        known = {name: view for name, view in listed if view is not None}
        missing = [name for name, view in listed if view is None]
        known.update(zip(missing, self._crew.each(self._cells.described, missing), strict=True))
        return [view for view in known.values() if view.key.startswith(prefix)]

    def _make_room(self, growth: int) -> None:
        allowed = self._limits.total_bytes
        if allowed is not None and growth > 0 and self._total() + growth > allowed:
            self.sweep()
            self._limits.check_total(self._total() + growth)

    def _make_room_for(self, payloads: Mapping[str, bytes]) -> None:
        if self._limits.total_bytes is not None:
            there = self.get_many(payloads)
            old = sum(len(record.payload) for record in there.values())
            self._make_room(sum(map(len, payloads.values())) - old)

    def _total(self) -> int:
        return sum(stat.size for _, stat in self._stats())


def holds(only_if: OnlyIf, old: Stat | None) -> bool:
    """Say whether a condition is met by what is live."""
    return only_if is None or only_if == (ABSENT if old is None else old.version)

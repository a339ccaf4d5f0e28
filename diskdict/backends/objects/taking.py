"""A store of objects, as far as it takes payloads that nobody has in memory as a whole: `Taking`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import BinaryIO

from diskdict.backends.objects.commits import Make, Placed
from diskdict.backends.objects.lines import Given
from diskdict.backends.objects.puts import Put
from diskdict.backends.objects.single import Single, holds
from diskdict.backends.objects.uploading import ObjectUpload
from diskdict.errors import ConflictError
from diskdict.store import OnlyIf, Stat
from diskdict.uploads import Source, Uploading


class Taking(Single, Uploading):
    """What `ObjectStore` does with uploads."""

    def upload(self) -> ObjectUpload:
        self._manifest.make()
        return ObjectUpload(self._cells.apart, self._place)

    def _place(self, key: str, wanted: Put, only_if: OnlyIf, instead_of: Source | None) -> int | None:
        if instead_of is not None:
            return self._replace(key, wanted, instead_of)
        if wanted.content.place is None or not self._bucket.understood().conditions:
            return self._put(key, wanted, only_if)
        with self._alone():
            old = self.stat(key)
            if not holds(only_if, old):
                return None
            self._make_room(wanted.content.size - (0 if old is None else old.size))
            number = self._cells.numbers.next()
            # Of a plain write it may never be known that it was made, and replaced by others, payload and all.
            makes: dict[str, Make] = {key: lambda live: wanted.over(live, self.clock(), number)}
            try:
                return _version(self._make(makes, {} if only_if is None else {key: only_if})[key])
            except ConflictError:
                return None

    def _replace(self, key: str, wanted: Put, source: Source) -> int | None:
        with self._alone():
            there, old = self.stat(source.key), self.stat(key)
            if there is None:
                return None
            self._make_room(wanted.content.size - there.size - (0 if old is None else old.size))
            number = self._cells.numbers.next()
            given = wanted._replace(created=there.created).over(None, self.clock(), number)
            try:
                placed = self._make({key: lambda _: given, source.key: lambda _: None}, {source.key: source.version})
            except ConflictError:
                return None
            return _version(placed[key])

    def _make(self, makes: Mapping[str, Make], expected: Mapping[str, OnlyIf]) -> dict[str, Placed]:
        self._manifest.make()
        placed = self._commits.make(makes, expected) if makes else {}
        # A key that was removed and put again has another place.
        self._changes += any(_order(one.before) != _order(one.after) for one in placed.values())
        return placed

    def move_over(self, source: str, target: str) -> bool:
        self._manifest.make()
        self._cells.require_conditions()
        while (found := self._opened(source)) is not None:
            stat, content = found
            # Who has changed it meanwhile is not disturbed: it is moved as it is then.
            with content, suppress(ConflictError):
                if source == target or self._moved(Source(source, stat.version), stat, content, target):
                    return True
        return False

    def _moved(self, source: Source, stat: Stat, content: BinaryIO, target: str) -> bool:
        upload = self.upload()
        try:
            upload.take(content)
            return upload.finish(target, expires=stat.expires, meta=stat.meta, instead_of=source) is not None
        finally:
            upload.discard()


def _order(given: Given | None) -> int | None:
    return None if given is None else given.held.stat.order


def _version(placed: Placed) -> int | None:
    return None if placed.after is None else placed.after.held.stat.version

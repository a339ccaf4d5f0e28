"""Records as files, written: a value and its attributes are put, changed and removed as one.

No lock, no index, no clock: `RecordFiles` knows how a record lies on disk and in which order its parts have to be
written so that a kill at any moment leaves the old record or the new one.
"""

from __future__ import annotations

import contextlib
import os

from diskdict import attributes as xattrs
from diskdict.attributes import Attributes
from diskdict.files import set_time, sync_filesystem, write_all
from diskdict.finding import RecordFinder
from diskdict.layout import DIGEST, TEMPORARY
from diskdict.syncing import Refusing


class RecordFiles(Refusing, RecordFinder):
    """The files of a store's records. The parameters are those of `diskdict.finding.RecordFinder`."""

    def write(
        self,
        key: str,
        path: str,
        payload: bytes,
        attributes: Attributes,
        old: Attributes | None,
        updated: float | None = None,
    ) -> None:
        """Put a record at `path`, where `old` is kept beside the value that is there now, if one is.

        It was `updated` now, unless that says when.
        """
        shard = path[: self._shard_length]
        temporary = f"{shard}/{TEMPORARY}"
        try:
            self.welcome(key, path)
            try:
                beside = self.stage(temporary, payload, attributes, updated)
            except FileNotFoundError:
                self._make(shard)
                beside = self.stage(temporary, payload, attributes, updated)
        except BaseException:
            self.companions.undo(path, old, unplaced=self.data.discard(temporary))
            raise
        self.place(path, temporary, attributes, old, beside=beside)

    def stage(self, temporary: str, payload: bytes, attributes: Attributes, updated: float | None = None) -> bool:
        """Put a value at `temporary`, for `place`; return whether its attributes are not on it and go beside it."""
        fd = self.data.create(temporary)
        try:
            write_all(fd, payload)
            if updated is not None:
                set_time(fd, updated)
            return self.describe(fd, attributes)
        finally:
            os.close(fd)

    def describe(self, fd: int, attributes: Attributes) -> bool:
        """Give a file that was staged its attributes; return whether they go beside it."""
        return not (self.in_attributes and xattrs.apply(fd, attributes))

    def welcome(self, key: str, path: str) -> None:
        """Have the text of a key that is too long for a name where its value is to be."""
        if DIGEST in path:
            self._make(path[: self._shard_length])
            self.companions.write_key(path, key)

    def install(
        self, key: str, temporary: str, attributes: Attributes, old: Attributes | None, *, beside: bool
    ) -> None:
        """Have a value that was staged anywhere be that of `key`."""
        path = self.path(key)
        try:
            self.welcome(key, path)
            self._make(path[: self._shard_length])
        except BaseException:
            self.companions.undo(path, old, unplaced=self.data.discard(temporary))
            raise
        self.place(path, temporary, attributes, old, beside=beside)

    def place(
        self,
        path: str,
        temporary: str,
        attributes: Attributes,
        old: Attributes | None,
        *,
        beside: bool,
        again: bool = False,
    ) -> None:
        """Have a value that was staged be the one at `path`.

        After a failure what was staged is gone, unless it is to go `again`.
        """
        try:
            if again:
                self._make(path[: self._shard_length])
            if beside:
                self.companions.write_sidecar(path, attributes, self.companions.bound(path, old))
            self.data.replace(temporary, path)
        except BaseException:
            # A temporary that is still there has not replaced the value. What is to go again needs no undoing.
            if not again:
                self.companions.undo(path, old, unplaced=self.data.discard(temporary))
            raise
        if self.companions.sidecars and not beside:
            self.companions.discard_sidecar(path)

    def make_room(self, key: str) -> None:
        """Have the folder there where the value of `key` is to be."""
        self._make(self.path(key)[: self._shard_length])

    def _make(self, shard: str) -> None:
        if not self.data.admit(shard):
            self.data.mkdir(shard)

    def amend(self, path: str, old: Attributes, new: Attributes) -> bool:
        """Replace what is kept beside a value, leave the value; return whether it is in a sidecar now."""
        shard = path[: self._shard_length]
        # Before the attribute: an index kept from before must not look current once it has changed.
        self.data.touch(shard)
        fd = self.data.open(path)
        try:
            beside = not (self.in_attributes and xattrs.apply(fd, new))
            if beside:
                self.companions.write_sidecar(path, new)
                xattrs.strip(fd)
            elif old.meta and not new.meta:
                xattrs.discard_meta(fd)
        finally:
            os.close(fd)
        if self.companions.sidecars and not beside:
            self.companions.discard_sidecar(path)
        return beside

    def remove(self, path: str) -> None:
        """Remove a record, its value first. Raises FileNotFoundError where there is none."""
        self.data.unlink(path)
        if self.companions.sidecars:
            self.companions.discard_sidecar(path)
        if DIGEST in path:
            self.companions.discard_key(path)

    def move(
        self, source: str, key: str, target: str, old: Attributes, new: Attributes, there: Attributes | None = None
    ) -> None:
        """Rename a record to the path of `key`, where none is, or one with the attributes `there`.

        A sidecar goes by the name of its value, so that the old one and the new one can lie there together. Attributes
        go with the value: killed after setting them, it is still at `source`, but last in order.
        """
        shard = target[: self._shard_length]
        self._make(shard)
        try:
            if DIGEST in target:
                self.companions.write_key(target, key)
            beside = self._by_sidecar(source) or self.amend(source, old, new)
            if beside:
                self.companions.write_sidecar(target, new, self.companions.bound(target, there))
            self.data.replace(source, target)
        except BaseException:
            # Interrupted, it may have come to the target by now.
            self.companions.undo(target, there, unplaced=self.data.has(source))
            self.companions.discard_orphans(source)
            if old.version:
                with contextlib.suppress(OSError):
                    self.amend(source, new, old)
            raise
        if beside:
            self.companions.discard_sidecar(source)
        elif self.companions.sidecars:
            self.companions.discard_sidecar(target)
        if DIGEST in source:
            self.companions.discard_key(source)

    def _by_sidecar(self, path: str) -> bool:
        fd = self.data.open(path)
        try:
            return xattrs.fetch(fd) is None and (not self.in_attributes or bool(self.companions.entries(path)))
        finally:
            os.close(fd)

    def sync_all(self) -> None:
        """Have on disk all that was written."""
        with self.refusal():
            sync_filesystem(self.data.fd)

"""Records as files: a value and its attributes, written, read and removed as one.

No lock, no index, no clock: `RecordFiles` knows how a record lies on disk and in which order its parts have to be
written so that a kill at any moment leaves the old record or the new one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from zlib import crc32

from diskdict import attributes as xattrs
from diskdict import sidecar
from diskdict.attributes import Attributes, stripped
from diskdict.companions import Companions
from diskdict.errors import DurabilityError
from diskdict.files import Folder, read_all, sync, write_all
from diskdict.layout import DIGEST, TEMPORARY, Shards, encode_name, is_plain
from diskdict.store import NEVER


class RecordFiles:
    """The files of a store's records.

    Parameters
    ----------
    data: Folder
        The folder of the shards.
    shards: Shards
        Tells a name's shard.
    durable: bool
        Have every change on disk before it returns.
    in_attributes: bool
        Whether this filesystem keeps extended attributes.
    sidecars: bool
        Whether any value may have a sidecar.
    before_sidecar: callable
        Called before a sidecar is written.
    """

    def __init__(
        self,
        data: Folder,
        shards: Shards,
        *,
        durable: bool,
        in_attributes: bool,
        sidecars: bool,
        before_sidecar: Callable[[], None],
    ) -> None:
        self.data = data
        self.shards = shards
        self.durable = durable
        self.in_attributes = in_attributes
        self.companions = Companions(data, durable=durable, sidecars=sidecars, before_sidecar=before_sidecar)
        self.failure: DurabilityError | None = None
        self._names = shards.names
        self._mask = shards.count - 1
        self._shard_length = len(shards.names[0])
        self._admitted = [False] * len(shards.names)

    def path(self, key: str) -> str:
        """Return the path of a key's file in the folder of the shards."""
        name = key if is_plain(key) else encode_name(key)
        number = crc32(name.encode()) & self._mask
        shard = self._names[number]
        if not self._admitted[number]:
            self._admitted[number] = self.data.admit(shard)
        return f"{shard}/{name}"

    def present(self) -> list[str]:
        """Return the names of the shards that are there; links and files in their place are none."""
        names = set(self.shards.names)
        return [name for name, _ in list(self.data.list()) if name in names and self.data.is_folder(name)]

    def read(self, path: str) -> tuple[bytes, float]:
        """Return a value and when it expires, as `load` does but faster. Raises FileNotFoundError."""
        fd = self.data.open(path)
        try:
            payload = read_all(fd)
            expires = xattrs.expiry(fd)
        finally:
            os.close(fd)
        if expires is None:
            payload, attributes = self.load(path)
            expires = NEVER if attributes is None else attributes.expires
        return payload, expires

    def load(self, path: str) -> tuple[bytes, Attributes | None]:
        """Return a value and what is kept beside it, None if nothing is. Raises FileNotFoundError.

        Where a sidecar and its value do not fit, a writer may be between the two: both are read again until they fit
        or stay as they are.
        """
        before = None
        while True:
            fd = self.data.open(path)
            try:
                payload = read_all(fd)
                attributes = xattrs.fetch(fd)
            finally:
                os.close(fd)
            if attributes is not None or not self.companions.sidecars:
                return payload, attributes
            entries = self.companions.entries(path)
            attributes = sidecar.pick(entries, payload)
            if attributes is not None:
                return payload, attributes
            if before == (payload, entries):
                return payload, entries[0] if entries else None
            before = payload, entries

    def find(self, path: str) -> Attributes | None:
        """Return what is kept beside a value without reading it, or None where there is no value.

        A file that has lost its attributes has an order from `STRIPPED`, version 0 and no checksum.
        """
        try:
            fd = self.data.open(path)
            try:
                known = xattrs.fetch(fd)
                if known is not None:
                    return known
                status = os.fstat(fd)
            finally:
                os.close(fd)
            return self._beside(path, status.st_size) or stripped(status)
        except FileNotFoundError:
            return None

    def examine(self, path: str) -> tuple[Attributes, float] | None:
        """Return a value's attributes and its time of change, or None where there is no value.

        Length and checksum are those of the value as it is now: it is read only if it must have been changed by others.
        """
        try:
            fd = self.data.open(path)
        except FileNotFoundError:
            return None
        try:
            status = os.fstat(fd)
            known = xattrs.fetch(fd)
            if known is None or known.length != status.st_size:
                if known is None and self.companions.sidecars:
                    # Together, lest the one is of another moment than the other.
                    payload, known = self.load(path)
                else:
                    payload = read_all(fd)
                known = (known or stripped(status))._replace(length=len(payload), checksum=crc32(payload))
            return known, status.st_mtime
        except FileNotFoundError:
            return None
        finally:
            os.close(fd)

    def _beside(self, path: str, length: int) -> Attributes | None:
        if not self.companions.sidecars:
            return None
        fitting = [entry for entry in self.companions.entries(path) if entry.length == length]
        return fitting[0] if len(fitting) == 1 else self.load(path)[1]

    def write(self, key: str, path: str, payload: bytes, attributes: Attributes, old: Attributes | None) -> None:
        """Put a record at `path`, where `old` is kept beside the value that is there now, if one is."""
        shard = path[: self._shard_length]
        temporary = f"{shard}/{TEMPORARY}"
        try:
            if DIGEST in path:
                self._make(shard)
                self.companions.write_key(path, key)
            try:
                fd = self.data.create(temporary)
            except FileNotFoundError:
                self._make(shard)
                fd = self.data.create(temporary)
            try:
                write_all(fd, payload)
                beside = not (self.in_attributes and xattrs.apply(fd, attributes))
                if self.durable:
                    self._sync(fd)
            finally:
                os.close(fd)
            if beside:
                self.companions.write_sidecar(path, attributes, self.companions.bound(path, old))
            self.data.replace(temporary, path)
        except BaseException:
            # A temporary that is still there has not replaced the value.
            self.companions.undo(path, old, unplaced=self.data.discard(temporary))
            raise
        if self.companions.sidecars and not beside:
            self.companions.discard_sidecar(path)
        if self.durable:
            self._sync_shard(shard)

    def _make(self, shard: str) -> None:
        if not self.data.admit(shard):
            self.data.mkdir(shard)
            if self.durable:
                self._sync_shard(".")

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
            if self.durable:
                self._sync(fd)
        finally:
            os.close(fd)
        if self.companions.sidecars and not beside:
            self.companions.discard_sidecar(path)
        if self.durable:
            self._sync_shard(shard)
        return beside

    def remove(self, path: str) -> None:
        """Remove a record, its value first. Raises FileNotFoundError where there is none."""
        self.data.unlink(path)
        if self.companions.sidecars:
            self.companions.discard_sidecar(path)
        if DIGEST in path:
            self.companions.discard_key(path)
        if self.durable:
            self._sync_shard(path[: self._shard_length])

    def move(self, source: str, key: str, target: str, old: Attributes, new: Attributes) -> None:
        """Rename a record to the path of `key`, where none is.

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
                self.companions.write_sidecar(target, new)
            self.data.replace(source, target)
        except BaseException:
            self.companions.discard_orphans(target)
            self.companions.discard_orphans(source)
            if old.version:
                with contextlib.suppress(OSError):
                    self.amend(source, new, old)
            raise
        if beside:
            self.companions.discard_sidecar(source)
        if DIGEST in source:
            self.companions.discard_key(source)
        if self.durable:
            self._sync_shard(shard)
            self._sync_shard(source[: self._shard_length])

    def _by_sidecar(self, path: str) -> bool:
        fd = self.data.open(path)
        try:
            return xattrs.fetch(fd) is None and (not self.in_attributes or bool(self.companions.entries(path)))
        finally:
            os.close(fd)

    def _sync(self, fd: int) -> None:
        with self._refusal():
            sync(fd)

    def _sync_shard(self, shard: str) -> None:
        with self._refusal():
            self.data.sync(shard)

    @contextlib.contextmanager
    def _refusal(self) -> Iterator[None]:
        # The kernel reports a failed write-back once and then forgets it: asking again would be told all is well.
        try:
            yield
        except OSError as error:
            self.failure = DurabilityError(error.errno or 0, "a change may not survive a power cut", self.data.path)
            raise self.failure from error

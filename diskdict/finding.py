"""Records as files, found and read: a value and what is kept beside it, as one."""

from __future__ import annotations

import os
from collections.abc import Callable

from diskdict import attributes as xattrs
from diskdict import sidecar
from diskdict.attributes import Attributes, stripped
from diskdict.checksums import crc32
from diskdict.companions import Companions
from diskdict.files import Folder, read_all
from diskdict.layout import Shards, encode_name, is_plain
from diskdict.store import NEVER


class RecordFinder:
    """The files of a store's records, as far as they are found and read.

    Parameters
    ----------
    data: Folder
        The folder of the shards.
    shards: Shards
        Tells a name's shard.
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
        in_attributes: bool,
        sidecars: bool,
        before_sidecar: Callable[[], None],
    ) -> None:
        self.data = data
        self.shards = shards
        self.in_attributes = in_attributes
        self.companions = Companions(data, sidecars=sidecars, before_sidecar=before_sidecar)
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

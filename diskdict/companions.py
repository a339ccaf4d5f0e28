"""The hidden files beside values: sidecars with their attributes, and the full texts of keys too long for a name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from diskdict import sidecar
from diskdict.attributes import STRIPPED, Attributes
from diskdict.checksums import crc32
from diskdict.files import Folder
from diskdict.layout import TEMPORARY, TEMPORARY_SIDECAR
from diskdict.layout import long_key as long_key_name
from diskdict.layout import sidecar as sidecar_name


class Companions:
    """What lies beside values, by the path of the value in the folder of the shards.

    Parameters
    ----------
    data: Folder
        The folder of the shards.
    sidecars: bool
        Whether any value may have a sidecar.
    before_sidecar: callable
        Called before a sidecar is written.
    """

    def __init__(self, data: Folder, *, sidecars: bool, before_sidecar: Callable[[], None]) -> None:
        self._data = data
        self.sidecars = sidecars
        self._before_sidecar = before_sidecar

    def entries(self, path: str) -> list[Attributes]:
        """Return what the sidecar of a value holds, nothing where there is none."""
        try:
            return sidecar.decode(self._data.read(companion(path, sidecar_name)))
        except FileNotFoundError:
            return []

    def ruined(self, path: str) -> bool:
        """Whether a value has a sidecar that tells nothing."""
        try:
            return not sidecar.decode(self._data.read(companion(path, sidecar_name)))
        except FileNotFoundError:
            return False

    def write_sidecar(self, path: str, *entries: Attributes | None) -> None:
        """Replace the sidecar of a value by one that holds the entries, the newest first."""
        self._before_sidecar()
        self.sidecars = True
        content = sidecar.encode(entry for entry in entries if entry is not None)
        self._write(path, sidecar_name, content, TEMPORARY_SIDECAR)

    def write_key(self, path: str, key: str) -> None:
        """Put the text of a key beside its value."""
        self._write(path, long_key_name, key.encode("utf-8", "surrogatepass"), TEMPORARY)

    def _write(self, path: str, name: Callable[[str], str], content: bytes, temporary: str) -> None:
        shard = path[: path.index("/")]
        self._data.write(companion(path, name), content, f"{shard}/{temporary}")

    def discard_sidecar(self, path: str) -> None:
        """Remove the sidecar of a value, if it has one."""
        self._data.discard(companion(path, sidecar_name))

    def discard_key(self, path: str) -> None:
        """Remove the text of a key, if it is there."""
        self._data.discard(companion(path, long_key_name))

    def discard_orphans(self, path: str) -> None:
        """Remove what belongs to a value that is not there. As with `Folder.discard`, errors here are not worth one."""
        try:
            self._data.stat(path)
        except FileNotFoundError:
            self.discard_sidecar(path)
            self.discard_key(path)
        except OSError:
            pass

    def bound(self, path: str, old: Attributes | None) -> Attributes | None:
        """Return what tells the value that is there now, which `find` says is `old`, from one that is to replace it."""
        if old is None or old.order < STRIPPED:
            return old
        payload = self._data.read(path)
        return old._replace(length=len(payload), checksum=crc32(payload))

    def undo(self, path: str, old: Attributes | None, *, unplaced: bool) -> None:
        """Have beside a value what was there before a put that failed; `unplaced`: without replacing the value."""
        if old is None:
            self.discard_orphans(path)
        elif unplaced and self.sidecars and old.order >= STRIPPED:
            self.discard_sidecar(path)
        elif unplaced and self.sidecars:
            with contextlib.suppress(OSError):
                # The new value may be the same as the old one, and then the newer entry would count.
                if self.entries(path)[1:] == [old]:
                    self.write_sidecar(path, old)


def companion(path: str, name: Callable[[str], str]) -> str:
    """Return the path of the file beside a value that `name` calls after it."""
    shard, _, own = path.rpartition("/")
    return f"{shard}/{name(own)}"

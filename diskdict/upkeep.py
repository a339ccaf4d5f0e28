"""What is done to the files of a store beside giving keys their values: `FolderUpkeep`."""

from __future__ import annotations

from typing import Final

from diskdict.attributes import Attributes
from diskdict.checksums import crc32
from diskdict.following import FolderFollowing
from diskdict.index import Index
from diskdict.layout import DATA
from diskdict.quarantine import set_aside

_SWEPT_BY_A_WRITE: Final = 2


class FolderUpkeep(FolderFollowing):
    """A folder store as far as records are removed, expired ones are swept, and damage is set right."""

    def _remove(self, key: str, path: str, *, expired: bool) -> bool:
        if self._behind:
            there = key in self._index.rows if self._index.loaded else self._find(key) is not None
            if there:
                self._log({key: None})
            return there
        self._mark(key)
        try:
            self.files.remove(path)
        except FileNotFoundError:
            there = False
        else:
            there = True
        self._index.remove(key, expired=expired)
        self._unmark(key)
        return there

    def sweep(self, limit: int | None = None) -> int:
        with self._lock:
            self._check_not_readonly()
            if not self.ledger.page.expiring:
                return 0
            index = self.index()
            # What could not be removed by the way of a write is tried again, and an error is told.
            index.stuck.clear()
            dead = index.some_dead(self.clock(), limit)
            if dead:
                self._prepare()
            for key in dead:
                self._remove(key, self.files.path(key), expired=True)
            sequence = self.journal.position.sequence
        self._reach_disk(sequence)
        return len(dead)

    def _sweep_some(self) -> None:
        # By the way of a write to another key, which is not to fail for this.
        for key in self._index.some_dead(self.clock(), _SWEPT_BY_A_WRITE):
            try:
                self._remove(key, self.files.path(key), expired=True)
            except OSError:
                if self._is_gone(key):
                    self._index.remove(key, expired=True)
                else:
                    self._index.stuck.add(key)
                self._unmark(key)

    def _is_gone(self, key: str) -> bool:
        try:
            return self._find(key) is None
        except OSError:
            return False

    def quarantine(self, key: str, payload: bytes) -> None:
        with self._lock:
            self.check_writable()
            path = self.files.path(key)
            try:
                # The reader held no lock: a healthy value may have come in between.
                if self.files.data.read(path) != payload:
                    return
            except FileNotFoundError:
                return
            self._mark(key)
            set_aside(self.folder, f"{DATA}/{path}")
            self._unmark(key)
            # A scan that met the damage goes on over the index it has.
            self.reload()

    def check_writable(self) -> None:
        """Raise what a change of a file would raise now, and have everything ready for one."""
        with self._lock:
            self._prepare()
            self.finish()

    def adopt(self, key: str, attributes: Attributes, payload: bytes) -> None:
        """Give a value the attributes that fit its bytes as they are now."""
        with self._lock:
            self.check_writable()
            new = attributes._replace(version=self.ledger.next(), length=len(payload), checksum=crc32(payload))
            self._mark(key)
            self.files.amend(self.files.path(key), attributes, new)
            self._unmark(key)

    def known(self) -> Index | None:
        """Return the index if it is in memory."""
        return self._index if self._index.loaded else None

    def reload(self) -> None:
        """Forget what was in memory: files are changed behind its back."""
        with self._lock:
            self._index = Index()
            if self._cache is not None:
                self._cache.clear()

    def trust(self) -> None:
        """Go on without checking every read: all values were found whole."""
        self.ledger.trust()
        self._careful = self.ledger.page.expiring

"""What every change of a folder store goes through, and changes that are made as one: `FolderCommitter`."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from diskdict.attributes import STRIPPED, attributes_of
from diskdict.errors import ReadOnlyError
from diskdict.files import sync_filesystem
from diskdict.journal import Amend, Change, Journal, Place, Reading, Remove
from diskdict.layout import JOURNAL, TMP
from diskdict.limits import Limits
from diskdict.quarantine import set_aside
from diskdict.reading import FolderReader
from diskdict.records import RecordFiles
from diskdict.scanning import highest
from diskdict.store import NEVER, Record

_STAGED: Final = f"../{TMP}/"  # from the folder of the shards


class FolderCommitter(FolderReader):
    """A folder store as far as it gets ready for changes and makes several of them as one.

    Notes
    -----
    A commit is done once its group is in the journal. From then on readers are given it from memory, until it is in
    the files: what cannot be written there at once, on a full disk, is tried again before the next change.
    """

    limits: Limits
    journal: Journal
    _group: tuple[Change, ...] = ()

    def _prepare(self, key: str | None = None) -> None:
        """Make sure that a change may begin: the handle can write, the page says so, nothing is left uncertain.

        With `key`, a commit may stay unfinished that has nothing to do with it.
        """
        self._check_not_readonly()
        if self.files.failure is not None:
            raise self.files.failure
        if self.ledger.page.clean:
            if not self.ledger.ceiling_known:
                self.ledger.start_above(highest(self.files))
            self.ledger.begin()
        try:
            self.finish()
        except OSError:
            if key is None or key in self._pending:
                raise
        self.settle()
        self._ready = not self._pending

    def _check_not_readonly(self) -> None:
        self.check_open()
        if self.readonly:
            raise ReadOnlyError(f"{self.folder.path} was opened with readonly=True")

    def _mark(self, key: str) -> None:
        self._index.uncertain.add(key)
        self._changes += 1
        if self._cache is not None:
            self._cache.begin(key)

    def _expect_expiry(self) -> None:
        if not self.ledger.page.expiring:
            self._careful = True
            self.ledger.expect_expiry()

    def number(self) -> int:
        with self._lock:
            self._prepare()
            return self.ledger.next()

    def check_growth(self, growth: int) -> None:
        if self.limits.total_bytes is None:
            return
        with self._lock:
            if self.index().payload_bytes + growth > self.limits.total_bytes:
                self.sweep()
            self.limits.check_total(self.index().payload_bytes + growth)

    def commit(self, changes: Mapping[str, Record | None], *, amended: Collection[str] = ()) -> None:
        with self._lock:
            self._prepare()
            kept = {key: None if record is None else _placed(record) for key, record in changes.items()}
            if any(record is not None and record.expires != NEVER for record in kept.values()):
                self._expect_expiry()
            for key in kept:
                self._mark(key)
            self._ready = False
            try:
                # What may find no room comes first.
                group = self._staged(kept, amended)
                self._journalize(group)
                # From here on it is done, for all who read.
                self._group, self._pending = group, kept
            except BaseException:
                with contextlib.suppress(OSError):
                    self.journal.restart()
                self._discard_staged()
                raise
            # What the disk does not take now is tried again later; the journal holds it.
            with contextlib.suppress(OSError):
                _apply(self.files, group)
                self._end()

    def _journalize(self, group: tuple[Change, ...]) -> None:
        if not self.files.durable:
            self.journal.append(group)
            return
        self.files.sync_all()
        self.journal.append(group)
        with self.files.refusal():
            self.journal.sync()

    def _staged(self, changes: Mapping[str, Record | None], amended: Collection[str]) -> tuple[Change, ...]:
        self.folder.mkdir(TMP)
        self.folder.admit(TMP)
        group: list[Change] = []
        for number, (key, record) in enumerate(changes.items()):
            if record is None:
                group.append(Remove(key, self.ledger.next()))
                continue
            attributes = attributes_of(record)
            if key in amended:
                group.append(Amend(key, attributes))
            else:
                file = str(number)
                beside = self.files.stage(_STAGED + file, record.payload, attributes, durable=False)
                group.append(Place(key, file, attributes, beside))
        return tuple(group)

    def _discard_staged(self) -> None:
        for name, _ in list(self.folder.list(TMP)):
            self.folder.discard(f"{TMP}/{name}")

    @property
    def unfinished(self) -> bool:
        """Whether something that was committed is not in the files."""
        return bool(self._pending)

    def finish(self) -> None:
        """Have in the files what was committed. Raises OSError where the disk does not take it; it stays readable."""
        with self._lock:
            if self.readonly or not self.journal.holds_groups:
                return
            for key in self._pending:
                self._mark(key)
            if self._pending:
                _apply_again(self.files, self._group)
            self._end()

    def _end(self) -> None:
        if self.files.durable:
            self.files.sync_all()
        # While it is pending: the index is told what was committed, be it in the files by now or not.
        self.settle()
        self.journal.restart()
        self._pending = {}
        self._ready = not self.ledger.page.clean

    def replay(self, reading: Reading) -> None:
        """Bring the files up to what the journal of an earlier process says, and remove it; a damaged one is kept."""
        for group in reading.groups:
            _apply_again(self.files, group.changes)
        if reading.groups:
            # The files are all there is once the journal is gone.
            sync_filesystem(self.folder.fd)
        if reading.damage:
            self._tell_damage(reading, set_aside(self.folder, JOURNAL))
        else:
            self.folder.unlink(JOURNAL)

    def show(self, reading: Reading) -> None:
        """Let readers see what the journal says without writing it to the files."""
        shown: dict[str, Record | None] = {}
        for change in (change for group in reading.groups for change in group.changes):
            found = self.files.find(self.files.path(change.key))
            if found is None or found.version < _version(change):
                with contextlib.suppress(FileNotFoundError):
                    shown[change.key] = self._foreseen(change)
        self._pending = shown
        if reading.damage:
            self._tell_damage(reading, JOURNAL)

    def _tell_damage(self, reading: Reading, place: str) -> None:
        message = f"the journal of {self.folder.path} is damaged: {reading.damage}; it is {place} there"
        warnings.warn(message, RuntimeWarning, stacklevel=2)

    def _foreseen(self, change: Change) -> Record | None:
        if isinstance(change, Remove):
            return None
        order, created, expires, version, _, _, meta, spelling = change.attributes
        path = _STAGED + change.file if isinstance(change, Place) else self.files.path(change.key)
        payload, updated = self.files.data.read(path), self.files.data.stat(path).st_mtime
        return Record(payload, order, created, updated, expires, version, meta, spelling)


def _placed(record: Record) -> Record:
    return record._replace(order=record.version) if record.order >= STRIPPED else record


def _version(change: Change) -> int:
    return change.version if isinstance(change, Remove) else change.attributes.version


def _apply(files: RecordFiles, changes: Iterable[Change]) -> None:
    """Make changes in the files that nobody else has changed since."""
    for change in changes:
        path = files.path(change.key)
        if isinstance(change, Remove):
            with contextlib.suppress(FileNotFoundError):
                files.remove(path)
        elif isinstance(change, Amend):
            old = files.find(path)
            if old is not None:
                files.amend(path, old, change.attributes)
        else:
            # What is there now matters only to what has to tell the two by their attributes.
            old = files.find(path) if change.beside else None
            files.welcome(change.key, path)
            files.place(path, _STAGED + change.file, change.attributes, old, beside=change.beside, again=True)


def _apply_again(files: RecordFiles, changes: Iterable[Change]) -> None:
    """Make those of the changes that were not made yet, and that nothing newer has come in place of."""
    for change in changes:
        known = files.find(files.path(change.key))
        made = known is not None and known.version >= _version(change)
        # A value that was placed and is not here has gone since.
        if not made and (not isinstance(change, Place) or files.data.has(_STAGED + change.file)):
            _apply(files, [change])

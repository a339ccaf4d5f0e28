"""What every change of a folder store goes through, and changes that are made as one: `FolderCommitter`."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Collection, Mapping

from diskdict.applying import STAGED, apply, apply_again, is_made, latest, source_of
from diskdict.attributes import STRIPPED, Attributes, attributes_of
from diskdict.errors import ReadOnlyError
from diskdict.files import sync_filesystem
from diskdict.journal import Amend, Change, Move, Place, Put, Reading, Remove
from diskdict.journalfile import Journal
from diskdict.layout import JOURNAL, TMP
from diskdict.limits import Limits
from diskdict.quarantine import set_aside
from diskdict.reading import FolderReader
from diskdict.scanning import highest
from diskdict.store import NEVER, Record


class FolderCommitter(FolderReader):
    """A folder store as far as it gets ready for changes and makes several of them as one.

    Notes
    -----
    A commit is done once its group is in the journal. From then on readers are given it from memory, until it is in
    the files: what cannot be written there at once, on a full disk, is tried again before the next change.
    """

    limits: Limits
    journal: Journal
    _behind: bool = False
    _group: tuple[Change, ...] = ()

    def _prepare(self, *keys: str) -> None:
        """Make sure that a change may begin: the handle can write, the page says so, nothing is left uncertain.

        With `keys`, a commit may stay unfinished that has nothing to do with them.
        """
        self._begin()
        try:
            self.finish()
        except OSError:
            if not keys or any(key in self._pending for key in keys):
                raise
        self.settle()
        self._check_failure()
        self._ready = not self._pending

    def _get_ready(self) -> None:
        """Do what `_prepare` does, if there is anything to do."""
        if not self._ready or self._index.uncertain or self.files.failure:
            self._prepare()

    def _check_failure(self) -> None:
        if self.files.failure is not None:
            raise self.files.failure

    def _begin(self) -> None:
        self._check_not_readonly()
        self._check_failure()
        if self.ledger.page.clean:
            if not self.ledger.ceiling_known:
                self.ledger.start_above(highest(self.files))
            self.ledger.begin()

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

    def commit(self, changes: Mapping[str, Record | None], *, amended: Collection[str] = ()) -> None:
        with self._lock:
            self._prepare()
            self.finish()
            kept = self._kept(changes)
            for key in kept:
                self._mark(key)
            self._ready = False
            before = self.journal.position
            try:
                # What may find no room comes first.
                group = self._staged(kept, amended)
                self._journalize(group)
                # From here on it is done, for all who read.
                self._group, self._pending = group, kept
            except BaseException:
                self.journal.take_back(before)
                self._discard_staged(kept)
                raise
            # What the disk does not take now is tried again later; the journal holds it.
            with contextlib.suppress(OSError):
                apply(self.files, group)
                self._end()

    def _kept(self, changes: Mapping[str, Record | None]) -> dict[str, Record | None]:
        """Return the changes as they are to be kept; whether any may expire is known from then on."""
        kept = {key: None if record is None else _placed(record) for key, record in changes.items()}
        if any(record is not None and record.expires != NEVER for record in kept.values()):
            self._expect_expiry()
        return kept

    def _journalize(self, group: tuple[Change, ...]) -> None:
        if self._behind:
            # A value that goes to a folder which is not on disk could be lost with that.
            for change in group:
                if isinstance(change, (Place, Move)):
                    self.files.make_room(change.target if isinstance(change, Move) else change.key)
            self.files.sync_all()
        written = self.journal.write(group)
        self.journal.keep(written)
        if self._behind:
            with self.files.refusal():
                self.journal.sync_through(written.sequence)

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
                beside = self.files.stage(STAGED + file, record.payload, attributes)
                group.append(Place(key, file, attributes, beside))
        return tuple(group)

    def _discard_staged(self, changes: Collection[str]) -> None:
        # A link in its place leads to what is not ours.
        if self.folder.is_folder(TMP):
            for number in range(len(changes)):
                self.folder.discard(f"{TMP}/{number}")

    @property
    def unfinished(self) -> bool:
        """Whether something that was committed is not in the files."""
        return bool(self._pending)

    def is_pending(self, key: str) -> bool:
        """Whether what is committed of a key is not in its file."""
        return key in self._pending

    def finish(self) -> None:
        """Have in the files what was committed. Raises OSError where the disk does not take it; it stays readable."""
        with self._lock:
            if self.readonly or not self.journal.holds_groups:
                return
            self._finish_group()
            self._end()

    def _finish_group(self) -> None:
        for change in self._group:
            self._mark(change.key)
        apply_again(self.files, self._group)

    def _end(self) -> None:
        if self._behind:
            self.files.sync_all()
        # While it is pending: the index is told what was committed, be it in the files by now or not.
        self.settle()
        with self.files.refusal() if self._behind else contextlib.nullcontext():
            self.journal.restart(durable=self._behind)
        self._pending, self._group = {}, ()
        self._ready = not self.ledger.page.clean

    def replay(self, reading: Reading) -> None:
        """Bring the files up to what the journal of an earlier process says, and remove it; a damaged one is kept."""
        self.folder.admit(TMP)
        if reading.groups:
            # A process that was killed may not have synced it, and no file is to have what is not on disk there.
            sync_filesystem(self.folder.fd)
            apply_again(self.files, latest(reading))
            # The files are all there is once the journal is gone.
            sync_filesystem(self.folder.fd)
        if reading.damage:
            self._tell_damage(reading, set_aside(self.folder, JOURNAL))
        else:
            self.folder.unlink(JOURNAL)

    def show(self, reading: Reading) -> None:
        """Let readers see what the journal says without writing it to the files."""
        self.folder.admit(TMP)
        shown: dict[str, Record | None] = {}
        for change in latest(reading):
            if not is_made(self.files, change):
                with contextlib.suppress(FileNotFoundError):
                    self._foresee(change, shown)
        self._pending = shown
        if reading.damage:
            self._tell_damage(reading, JOURNAL)

    def _tell_damage(self, reading: Reading, place: str) -> None:
        message = f"the journal of {self.folder.path} is damaged: {reading.damage}; it is {place} there"
        warnings.warn(message, RuntimeWarning, stacklevel=2)

    def _foresee(self, change: Change, shown: dict[str, Record | None]) -> None:
        if isinstance(change, Put):
            shown[change.key] = change.record
        elif isinstance(change, Remove):
            shown[change.key] = None
        elif isinstance(change, Amend):
            shown[change.key] = self._record(self.files.path(change.key), change.attributes)
        else:
            there = change.target if isinstance(change, Move) else change.key
            shown[there] = self._record(source_of(self.files, change), change.attributes)
            if isinstance(change, Move):
                shown[change.key] = None

    def _record(self, path: str, attributes: Attributes) -> Record:
        order, created, expires, version, _, _, meta, spelling = attributes
        payload, updated = self.files.data.read(path), self.files.data.stat(path).st_mtime
        return Record(payload, order, created, updated, expires, version, meta, spelling)


def _placed(record: Record) -> Record:
    return record._replace(order=record.version) if record.order >= STRIPPED else record

"""Looking a folder over, and setting right what is wrong in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from diskdict import keys
from diskdict.attributes import Attributes, describe, is_stripped
from diskdict.backends.file import FolderStore
from diskdict.layout import DATA, OWN_NAMES, TMP, Kind, classify
from diskdict.quarantine import set_aside
from diskdict.scanning import Progress, key_of, told
from diskdict.snapshots import remembered
from diskdict.store import NEVER

Fault = Literal["torn", "stripped", "edited", "foreign", "orphaned", "unfinished"]
Decodes = Callable[[bytes], object]


class Problem(NamedTuple):
    """A file that is not as it was written.

    ``path`` is relative to the store. ``problem`` is one of

    - torn: the value is not what was written, and reading it raises CorruptValueError;
    - edited: the value was changed or replaced by other means, and counts;
    - stripped: its attributes were lost, with them its expiry and its place;
    - orphaned: something that belongs to a value that is not there;
    - unfinished: left by a process that was killed while writing;
    - foreign: not of this store.

    ``key`` is the key concerned, or None. ``detail`` says more, ``action`` what `repair` has done.
    """

    path: str
    problem: Fault
    key: object
    detail: str
    action: str = ""


class Report(NamedTuple):
    """What `verify` or `repair` found: ``checked`` values, and the ``problems`` among all files."""

    checked: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.problems


class _Inspection:
    """One look over all files of a store, under its lock."""

    def __init__(self, store: FolderStore, loads: Decodes, progress: Progress | None) -> None:
        self._store = store
        self._progress = progress
        self._files = store.files
        self._loads = loads
        self.checked = 0

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong, file by file."""
        for name, _ in sorted(self._store.folder.list()):
            if name not in OWN_NAMES:
                yield Problem(name, "foreign", None, "not a name of a store; it is left alone")
        if self._store.folder.is_folder(TMP):
            for name, _ in sorted(self._store.folder.list(TMP)):
                if name in self._store.under_way:
                    continue
                yield Problem(f"{TMP}/{name}", "unfinished", None, "a stream that was not closed")
        shards = sorted(self._files.present())
        for name, _ in sorted(self._files.data.list()):
            if name not in shards:
                yield Problem(f"{DATA}/{name}", "foreign", None, "not a shard of this store")
        for shard in told(shards, self._progress):
            yield from self._shard(shard)

    def _shard(self, shard: str) -> Iterator[Problem]:
        names = dict(sorted(self._files.data.list(shard)))
        for name, regular in names.items():
            path = f"{DATA}/{shard}/{name}"
            kind, owner = classify(name)
            if not regular or kind is Kind.FOREIGN:
                yield Problem(path, "foreign", None, "not the name of a key" if regular else "not a regular file")
            elif kind is Kind.TEMPORARY:
                yield Problem(path, "unfinished", None, "left by a process that was killed")
            elif kind is Kind.VALUE:
                self.checked += 1
                yield from self._value(shard, name, path)
            elif owner not in names:
                yield Problem(path, "orphaned", None, "the value it belongs to is not there")

    def _value(self, shard: str, name: str, path: str) -> Iterator[Problem]:
        text = key_of(self._files, shard, name)
        if text is None:
            yield self._misplaced(name, path)
            return
        if self._store.is_pending(text):
            # For who only reads: the journal has what this file will be.
            return
        payload, attributes = self._files.load(f"{shard}/{name}")
        key = keys.decode(text)
        if not payload and not self._store.takes_empty:
            yield Problem(path, "torn", key, "it is empty")
        elif attributes is None and self._store.suspect and self._files.companions.ruined(f"{shard}/{name}"):
            yield Problem(path, "torn", key, "its sidecar is damaged")
        elif attributes is None:
            fault: Fault = "stripped" if self._decodes(payload) else "torn"
            yield Problem(path, fault, key, "it has lost its attributes")
        elif not attributes.fit(payload):
            fault = "edited" if not self._store.suspect and self._decodes(payload) else "torn"
            yield Problem(path, fault, key, attributes.misfit(payload))

    def _misplaced(self, name: str, path: str) -> Problem:
        if classify(name).name.startswith("%%"):
            return Problem(path, "orphaned", None, "the file with the text of its key is not there, or not its own")
        return Problem(path, "foreign", None, "a key of this name belongs in another shard")

    def _decodes(self, payload: bytes) -> bool:
        try:
            self._loads(payload)
        except (ImportError, AttributeError):
            # A class that a pickle needs is not here: that says nothing against the file.
            return True
        except Exception:  # noqa: BLE001  # a codec of the caller's raises what it likes
            return False
        return True


def verify(store: FolderStore, loads: Decodes, progress: Progress | None = None) -> Report:
    """Read every file and compare it with what was written; see `diskdict.DiskDict.verify`."""
    with store.exclusive():
        store.check_open()
        store.finish()
        inspection = _Inspection(store, loads, progress)
        problems = tuple(inspection.problems())
        if not store.readonly and not any(each.problem == "torn" for each in problems):
            store.trust()
        return Report(inspection.checked, problems)


def repair(store: FolderStore, loads: Decodes, progress: Progress | None = None) -> Report:
    """Set aside what is damaged and set right what is not; see `diskdict.DiskDict.repair`."""
    with store.exclusive():
        store.check_writable()
        inspection = _Inspection(store, loads, progress)
        found = list(inspection.problems())
        lost = _Lost(store)
        # Those without a place get theirs by age.
        found.sort(key=lambda each: (each.problem == "stripped", lost.age(each)))
        # Before, so that an interruption leaves no index of what was; after, for what was read meanwhile.
        store.reload()
        try:
            done = tuple(each._replace(action=_mend(store, each, lost)) for each in found)
        finally:
            store.reload()
        store.trust()
        return Report(inspection.checked, done)


def _mend(store: FolderStore, problem: Problem, lost: _Lost) -> str:
    path = problem.path.removeprefix(f"{DATA}/")
    if problem.problem in ("edited", "stripped"):
        text = keys.encode(problem.key)
        payload, attributes = store.files.load(path)
        store.adopt(text, lost.attributes(text, payload) if attributes is None else attributes, payload)
        return "given attributes that fit"
    if problem.problem == "foreign" and not problem.path.startswith(f"{DATA}/"):
        return "left alone"
    return f"moved to {set_aside(store.folder, problem.path)}"


class _Lost:
    """What the index still knows of files that have lost their attributes."""

    def __init__(self, store: FolderStore) -> None:
        self._store = store
        self._indexes = [index for index in (store.known(), remembered(store.folder)) if index is not None]

    def age(self, problem: Problem) -> tuple[int, str]:
        """Return what orders stripped files: their time of change, then their name."""
        if problem.problem != "stripped":
            return 0, ""
        return self._store.files.data.stat(problem.path.removeprefix(f"{DATA}/")).st_mtime_ns, problem.path

    def attributes(self, text: str, payload: bytes) -> Attributes:
        """Return attributes for a file that has none: of old where they are known, else as of a new key."""
        path = self._store.files.path(text)
        changed = self._store.files.data.stat(path).st_mtime
        number = self._store.ledger.next()
        fresh = describe(payload, number, changed)
        for index in self._indexes:
            entry = index.get(text)
            if entry is not None and not is_stripped(fresh._replace(order=entry.order)):
                return fresh._replace(order=entry.order, expires=entry.expires, spelling=entry.spelling)
        return fresh._replace(expires=NEVER)

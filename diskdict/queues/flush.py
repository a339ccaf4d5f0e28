"""Queues in memory that can be moved to a folder and back: the mix-in `FlushQueue`."""

from __future__ import annotations

import contextlib
import os
import queue
import warnings
from collections.abc import Iterable, Iterator

from diskdict.backends.file import FolderStore
from diskdict.codecs import Codec, resolve
from diskdict.disk import absolute
from diskdict.errors import DamagedItemWarning
from diskdict.mutex import LockLike, mutation_lock
from diskdict.queues.locks import Semaphore, SemaphoreLike, queue_semaphore
from diskdict.queues.standard import Found, Processes, Threads, memory_of


class FlushQueue:
    """A mix-in that moves what waits in a queue to a folder, and brings it back.

    It goes beside `queue.Queue`, `queue.LifoQueue`, `queue.PriorityQueue` or `multiprocessing.queues.Queue`, or what
    derives from them. It has no ``__init__``: the class that is made of the two, or its instances, have these
    attributes.

    Parameters
    ----------
    path: str or os.PathLike[str]
        The folder, one for each queue; ``~`` is expanded. Made by the first `flush` of something. A folder that is
        anything else is refused with a FormatError, which names both kinds where it is another store.
    lock: optional
        A lock, or a factory of locks, held by `flush` and `ingest` from their beginning to their end. None by default:
        they exclude each other without it, between processes too.
    semaphore: optional
        Counts what lies in the folder: released once for each item that is written, acquired, without waiting, once for
        each that leaves. Or a factory such as ``threading.Semaphore``: from the first use on `semaphore` is what it has
        given, set to the number of items that are there. None by default.
    codec: str or Codec
        How items are written, ``"json"`` by default; see `diskdict.DiskDict`. The folder keeps it.
    patience: float
        Seconds to wait for a `flush` or `ingest` elsewhere that has the folder, before a StoreLockedError; 60 by
        default.

    Notes
    -----
    For other threads `flush` and `ingest` of a `queue.Queue` are one step each: they hold its mutex. So they must not
    be called from a signal handler, which may interrupt who holds it: let it raise, or set an event.

    Every item is in memory or in the folder at any time. What `flush` has moved is on disk when it returns. Killed in
    it a process has left in the folder what was written by then. Interrupted by Ctrl-C, or where the disk fails to sync
    or to remove, items may be in both.

    Examples
    --------
    >>> import queue, tempfile
    >>> class Jobs(queue.Queue, FlushQueue):
    ...     path = tempfile.mkdtemp()
    >>> jobs = Jobs()
    >>> jobs.put("first")
    >>> jobs.put("second")
    >>> jobs.flush(), jobs.qsize()
    (2, 0)
    >>> jobs.ingest(), jobs.get()
    (2, 'first')
    """

    path: str | os.PathLike[str]
    lock: LockLike | None = None
    semaphore: SemaphoreLike | None = None
    codec: str | Codec = "json"
    patience: float = 60.0

    def flush(self) -> int:
        """Move all that waits to the folder, behind what is there; return how many items that were.

        They count as done for ``join``; who waits to put goes on. An item that the codec refuses stays in the queue, in
        its place, and so do all that are left when the disk refuses one; the first error is raised then, with a note
        that says how many stay. Nothing is made on disk where nothing waits.

        Of a `multiprocessing.queues.Queue`, what this process has put is waited for until its feeder has written it;
        what another has put and not written yet is left. TimeoutError, where the pipe is stuck for `patience` seconds.
        A process that is killed in it takes the one item along that it has just taken out of the pipe.
        """
        codec, memory = resolve(self.codec), memory_of(self, self.patience)
        with mutation_lock(self.lock), memory.held():
            if memory.empty():
                return 0
            with self._moving(memory, codec) as (store, first):
                error = _write(store, codec, memory.items(), first)
        if error is not None:
            stay = memory.given - memory.moved
            error.add_note(f"{memory.moved:,} items were moved to {store.folder.path}, {stay:,} stay in the queue")
            raise error
        return memory.moved

    @contextlib.contextmanager
    def _moving(self, memory: Threads | Processes, codec: Codec) -> Iterator[tuple[FolderStore, int]]:
        """Give the folder and the number of the first item to write; at the end those that are there leave memory."""
        there: set[int] = set()
        moved: set[int] = set()
        semaphore: Semaphore | None = None
        try:
            store = self._opened(codec, create=True)
            try:
                first = 1 + max((int(key) for key in store.scan() if key.isdecimal()), default=0)
                semaphore = self._semaphore(store.count())
                try:
                    yield store, first
                finally:
                    # Whatever was raised: what is there is there.
                    there.update(number for number in range(memory.given) if store.contains(_key(first + number)))
            finally:
                store.close()
                # It is on disk, too.
                moved = there
        finally:
            memory.settle(moved)
            if semaphore is not None:
                for _ in moved:
                    semaphore.release()

    def ingest(self) -> int:
        """Bring back what lies in the folder, in order, as far as there is room; return how many items that were.

        The rest stays for the next time; a queue that gives the last or the smallest first is brought those first.
        Returns 0, and makes nothing, where there is no folder. `ShutDown`, where the queue was shut down.

        Items leave the folder when all of them are in the queue. Killed in between, what had not left comes back once
        more: other threads have seen none of it, other processes may have. A class whose ``_put`` drops an item, as one
        it knows already, drops it here too.

        An item whose file is torn, or cannot be decoded, is moved to ``quarantine`` in the folder, and the others come
        back; a `DamagedItemWarning` for each gives its path and the reason. What cannot be read for now (the disk says
        so, or a class that a pickle needs is not here) stays; the first such error is raised when the others are back.
        """
        codec, memory = resolve(self.codec), memory_of(self, self.patience)
        with mutation_lock(self.lock), memory.held():
            try:
                store = self._opened(codec, create=False)
            except FileNotFoundError:
                self._semaphore(0)
                return 0
            with contextlib.closing(store):
                # First: what cannot leave is not to be in the queue as well.
                store.check_writable()
                source = _Source(store, codec)
                semaphore = self._semaphore(len(source.names))
                with source.leaving(semaphore) as taken:
                    for name, item in memory.arrange(source.read, source.names):
                        try:
                            memory.put(item)
                        except queue.Full:
                            break
                        taken.append(name)
        for path, detail in source.damaged:
            message = f"{path} is damaged and was moved to {store.folder.path}/quarantine: {detail}"
            warnings.warn(message, DamagedItemWarning, stacklevel=2)
        errors = [*source.errors, *memory.complaints]
        if errors:
            stay = len(source.names) - len(source.damaged) - len(taken)
            errors[0].add_note(f"{len(taken):,} items are back in the queue, {stay:,} stay in {store.folder.path}")
            raise errors[0]
        return len(taken)

    def _opened(self, codec: Codec, *, create: bool) -> FolderStore:
        return FolderStore(
            absolute(self.path),
            kind="flush",
            codec=codec.name,
            # One folder that lists the items in their order.
            shards=1,
            create=create,
            timeout=self.patience,
            on_corrupt="quarantine",
        )

    def _semaphore(self, count: int) -> Semaphore | None:
        given, self.semaphore = self.semaphore, queue_semaphore(self.semaphore)
        if self.semaphore is not given and self.semaphore is not None:
            for _ in range(count):
                self.semaphore.release()
        return self.semaphore


def _key(number: int) -> str:
    return f"{number:012d}"


def _write(store: FolderStore, codec: Codec, items: Iterable[object], first: int) -> Exception | None:
    """Write items; return the first error. The disk's is the last, too."""
    error: Exception | None = None
    for number, item in enumerate(items, first):
        try:
            payload = codec.dumps(item)
        except Exception as refusal:  # noqa: BLE001  # a codec of the caller's raises what it likes
            error = error or refusal
            continue
        try:
            store.put(_key(number), payload)
        except OSError as failure:
            return error or failure
    return error


class _Source:
    """The items of a folder. ``damaged`` are paths and reasons, ``errors`` what kept others from being read."""

    def __init__(self, store: FolderStore, codec: Codec) -> None:
        self._store = store
        self._codec = codec
        self.names = sorted(store.scan())
        self.damaged: list[tuple[str, str]] = []
        self.errors: list[Exception] = []

    def read(self, names: Iterable[str]) -> Iterator[Found]:
        """Yield items with their names; what is damaged is set aside."""
        for name in names:
            try:
                payload, attributes = self._store.files.load(self._store.files.path(name))
                if attributes is not None and not attributes.fit(payload):
                    self._set_aside(name, payload, attributes.misfit(payload))
                    continue
                item = self._codec.loads(payload)
            except ValueError as error:
                self._set_aside(name, payload, str(error))
            except Exception as error:  # noqa: BLE001  # a codec of the caller's raises what it likes
                self.errors.append(error)
            else:
                yield name, item

    def _set_aside(self, name: str, payload: bytes, detail: str) -> None:
        self.damaged.append((f"{self._store.files.data.path}/{self._store.files.path(name)}", detail))
        self._store.quarantine(name, payload)

    @contextlib.contextmanager
    def leaving(self, semaphore: Semaphore | None) -> Iterator[list[str]]:
        """Give a list; at the end those whose names are in it leave the folder, whatever was raised."""
        taken: list[str] = []
        try:
            yield taken
        finally:
            for name in taken:
                self._store.delete(name)
            if semaphore is not None:
                for _ in range(len(taken) + len(self.damaged)):
                    semaphore.acquire(False)

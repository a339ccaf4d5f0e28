"""The dict that lives in a folder, `DiskDict`, and `open_dict` for one that lives where a URL says."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypedDict, TypeVar, Unpack, cast

from diskdict import backup as backups
from diskdict import repair as repairs
from diskdict.backends import in_one_file, open_store, scheme_of
from diskdict.backends.file import BUFFER_BYTES, Durability, FolderStore
from diskdict.codecs import Codec, resolve
from diskdict.core import StoreDict
from diskdict.face import K, V
from diskdict.limits import Limits
from diskdict.mutex import LockLike
from diskdict.opening import path_of_url
from diskdict.reading import OnCorrupt
from diskdict.repair import Report
from diskdict.repeating import checked_interval
from diskdict.scanning import Progress
from diskdict.store import Clock, Ttl, expiry

if TYPE_CHECKING:
    from pathlib import Path

A = TypeVar("A")
B = TypeVar("B")


class Options(TypedDict, total=False):
    """The keyword arguments of `DiskDict`, for those who pass them on."""

    codec: str | Codec
    default_ttl: Ttl
    limits: Limits | None
    durability: Durability
    interval: float
    buffer_bytes: int
    readonly: bool
    create: bool
    timeout: float
    lock: LockLike | None
    shards: int | None
    writeback: bool
    cache_bytes: int
    cleanup_interval: float | None
    on_corrupt: OnCorrupt
    perm: int | None
    clock: Clock


_OPTION_NAMES = frozenset(Options.__annotations__)


class Stats(NamedTuple):
    """A folder in numbers.

    ``keys`` are alive, ``expired`` are dead and not removed yet. ``payload_bytes`` is what the values are long,
    ``disk_bytes`` what they occupy, ``inodes`` how many files and folders the store has, ``shards`` how many folders
    hold values. ``attributes`` says where expiry and order are kept: ``"xattr"`` or ``"sidecar"``.
    """

    keys: int
    expired: int
    payload_bytes: int
    disk_bytes: int
    inodes: int
    shards: int
    attributes: str


class DiskDict(StoreDict[K, V]):
    """A dict that lives in a folder, each key one readable file.

    Parameters
    ----------
    path: str or os.PathLike, optional
        The folder; ``~`` is expanded. Without one a fresh folder is made in the user's data folder; see `path`.
    codec: str or Codec
        How values become bytes. ``"json"``: what JSON has, and bytes, tuple, set, datetime, Decimal, UUID and the like;
        each value comes back equal and of the same type, or is refused. ``"raw"``: bytes only. ``"pickle"``: anything,
        but reading runs code. Or an object with ``dumps``, ``loads`` and ``name``. A name with ``+gzip`` or ``+zstd``
        has values compressed; who opens such a folder again need not say it.
    default_ttl: int, float or timedelta, optional
        Seconds that a key lives when nothing else is said.
    limits: Limits, optional
        What is refused; kept in the folder.
    durability: "process", "interval" or "full"
        When a change returns it is in its file, in the journal, or in the journal on disk. A killed process loses
        nothing; a power cut may damage what was changed last, take back the last `interval`, or nothing.
    interval: float
        With ``"interval"`` and ``"full"``, seconds after which what was changed is on disk and goes to its files.
    buffer_bytes: int
        With these two, bytes that may wait in memory for their files, about; 64 MiB. Beyond that changes wait.
    readonly: bool
        Open beside other readers, never beside a writer.
    create: bool
        Make the folder where there is none.
    timeout: float
        Seconds to wait for another process that has the folder.
    lock: optional
        A lock or a factory of locks, held around every change in place of an RLock.
    shards: int, optional
        Folders that the files are spread over, a power of two, fixed when the store is made; 256.
    writeback: bool
        Remember values that were handed out and store what changed in them on `flush` and `close`.
    cache_bytes: int
        Bytes of values to keep in memory.
    cleanup_interval: float, optional
        Seconds between two removals of expired keys by a thread of its own.
    on_corrupt: "raise", "miss" or "quarantine"
        What a damaged value is to who reads it: a CorruptValueError, missing, or moved aside and missing. As long as
        its file is in place the key is there for ``in``, ``len`` and iteration.
    perm: int, optional
        Permission bits of the files, 0o600.
    clock: callable
        The time in seconds since the epoch.

    Raises
    ------
    StoreLockedError
        Another process, or another handle of this one, has the folder.
    LockUnsupportedError
        The filesystem knows no locks.
    FormatError
        The folder is something else, or a store of another codec or number of shards.
    FileNotFoundError, NotADirectoryError
        There is nothing and ``create`` is false; there is a file.

    Notes
    -----
    Threads share one handle; reading takes no lock. One process at a time may write. After a fork the child's handle
    is closed. A process killed at any moment leaves each key old or new. A value that was read is a copy:
    ``d["k"].append(x)`` changes nothing on disk; see `edit` and ``writeback``.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with DiskDict(folder) as d:
    ...     d["greeting"] = {"text": "hello", "times": 3}
    >>> with DiskDict(folder) as d:
    ...     d["greeting"]["text"], d.path_for("greeting").read_text()
    ('hello', '{"text":"hello","times":3}')
    """

    _kind: ClassVar[str] = "dict"
    _folder_type: ClassVar[type[FolderStore]] = FolderStore

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        codec: str | Codec = "json",
        default_ttl: Ttl = None,
        limits: Limits | None = None,
        durability: Durability = "process",
        interval: float = 1.0,
        buffer_bytes: int = BUFFER_BYTES,
        readonly: bool = False,
        create: bool = True,
        timeout: float = 0,
        lock: LockLike | None = None,
        shards: int | None = None,
        writeback: bool = False,
        cache_bytes: int = 0,
        cleanup_interval: float | None = None,
        on_corrupt: OnCorrupt = "raise",
        perm: int | None = None,
        clock: Clock = time.time,
    ) -> None:
        # All that was given, to open the folder again from a pickle; so it stands first.
        self._options = cast(Options, {name: value for name, value in locals().items() if name in _OPTION_NAMES})
        self._path = _fresh_path() if path is None else absolute(path)
        resolved = resolve(codec)
        expiry(None, default_ttl, 0.0)
        if cleanup_interval is not None:
            checked_interval("cleanup_interval", cleanup_interval)
        self._folder = self._open_folder(resolved.name)
        kept = self._folder.limits if any(self._folder.limits) else None
        every = None if readonly else cleanup_interval
        try:
            super().__init__(
                self._folder,
                codec=resolved,
                default_ttl=default_ttl,
                limits=kept,
                writeback=writeback,
                cleanup_interval=every,
            )
            _live[_identity(self._path)] = cast(DiskDict[object, object], self)
        except BaseException:
            self._folder.close()
            raise

    def _open_folder(self, codec: str) -> FolderStore:
        given = self._options
        return self._folder_type(
            self._path,
            kind=self._kind,
            codec=codec,
            shards=given["shards"],
            limits=given["limits"],
            durability=given["durability"],
            interval=given["interval"],
            buffer_bytes=given["buffer_bytes"],
            readonly=given["readonly"],
            create=given["create"],
            timeout=given["timeout"],
            lock=given["lock"],
            on_corrupt=given["on_corrupt"],
            perm=given["perm"],
            cache_bytes=given["cache_bytes"],
            clock=given["clock"],
        )

    @classmethod
    def fromkeys(
        cls,
        iterable: Iterable[A],
        value: B | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        **options: Unpack[Options],
    ) -> DiskDict[A, B | None]:
        """Return a dict at `path` with the keys of `iterable`, all with `value`; the options are those of the class."""
        made = cast(DiskDict[A, B | None], cls(path, **options))
        try:
            made.update((key, value) for key in iterable)
        except BaseException:
            made.close()
            raise
        return made

    @property
    def path(self) -> Path:
        """The folder."""
        return _path_object(self._path)

    def path_for(self, key: K) -> Path:
        """Return the file that holds the value of `key`. KeyError if it is missing.

        The file holds the value's bytes and nothing else. Read it, hand it to other programs. Change it only while the
        store is closed, and call `repair` after: a change by hand is the key's new value until the store is left
        unclean, and looks like damage then.
        """
        text = self._settled(key)
        self._stat(key)
        self._finish()
        return _path_object(self._path, "data", self._folder.files.path(text))

    def verify(self, *, progress: Progress | None = None) -> Report:
        """Read every file and compare it with what was written; return what was checked and what was found.

        Changes nothing but this: when no value is torn, reads after an unclean end are not checked any longer. Other
        threads can read meanwhile, and wait to write. `progress` is called with the number of subfolders that are done
        and of all, after each; what it raises ends the look.
        """
        self.flush()
        return repairs.verify(self._folder, self._values.loads, progress)

    def repair(self, *, progress: Progress | None = None) -> Report:
        """Move what is damaged to ``quarantine`` in the folder, set right what is not; return what was done to what.

        Nothing is deleted. Files that have lost their attributes get them back from the index where it knows them;
        values changed by hand are taken over. `progress` is as in `verify`, before anything is moved.
        """
        self.flush()
        return repairs.repair(self._folder, self._values.loads, progress)

    def backup(self, target: str | os.PathLike[str], *, progress: Progress | None = None) -> int:
        """Copy the store to a folder that is new or empty; return the number of files copied.

        The copy is a store of its own, as this one was at one moment, and on disk when this returns. Other threads can
        read meanwhile, and wait to write. Interrupted, it leaves no store. FileExistsError, where there is something.
        `progress` is as in `verify`.
        """
        self.flush()
        return backups.backup(self._folder, absolute(target), progress)

    def stats(self) -> Stats:
        """Return numbers about the folder; every file is looked at."""
        self.flush()
        store = self._folder
        with store.exclusive():
            store.finish()
            index = store.index()
            live = store.count()
            shards = store.files.present()
            sizes = [
                store.files.data.stat(f"{shard}/{name}") for shard in shards for name, _ in store.files.data.list(shard)
            ]
            return Stats(
                keys=live,
                expired=len(index.rows) - live,
                payload_bytes=index.payload_bytes,
                disk_bytes=sum(getattr(size, "st_blocks", -(-size.st_size // 512)) * 512 for size in sizes),
                inodes=len(sizes) + len(shards) + 1 + sum(1 for _ in store.folder.list()),
                shards=len(shards),
                attributes="xattr" if store.files.in_attributes else "sidecar",
            )

    def flush(self) -> None:
        """Write back what ``writeback`` has handed out, and have in the files what was committed.

        With durability ``"interval"`` and ``"full"`` it is on disk there afterwards, and the journal is empty. Raises
        OSError where the disk does not take it; then it stays in the journal, and readable. RuntimeError inside of a
        transaction: its changes are not to be in the files yet.
        """
        super().flush()
        self._finish()

    def _finish(self) -> None:
        if self._store.staged is not None:
            raise RuntimeError("a transaction is under way, and the files know nothing of it; leave its block before")
        self._folder.finish()

    def close(self) -> None:
        if "_unopened" in self.__dict__:
            return
        if not self._folder.is_open:
            # After a fork: what was handed out is the parent's to write back.
            self._values.forget_all()
        super().close()

    def __repr__(self) -> str:
        if "_unopened" in self.__dict__ or self._folder.is_open:
            return super().__repr__()
        return f"<closed {type(self).__name__} {self._path!r}>"

    def __reduce__(self) -> tuple[Callable[..., object], tuple[type, str, Options]]:
        return _unpickled, (type(self), self._path, self._options)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            # Only a handle that came out of a pickle in another process lacks attributes: it opens when first used, by
            # one thread while the others wait.
            with self.__dict__.get("_opening", _NO_LOCK):
                if self.__dict__.pop("_unopened", False):
                    try:
                        self.__init__(self._path, **self._options)
                    except BaseException:
                        self._unopened = True
                        raise
                if name in self.__dict__:
                    return self.__dict__[name]
            return super().__getattribute__(name)


_NO_LOCK = contextlib.nullcontext()
_live: weakref.WeakValueDictionary[tuple[int, int], DiskDict[object, object]] = weakref.WeakValueDictionary()


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _unpickled(kind: type[DiskDict[object, object]], path: str, options: Options) -> DiskDict[object, object]:
    try:
        known = _live.get(_identity(path))
    except OSError:
        known = None
    if known is not None and known._folder.is_open:
        return known
    handle: DiskDict[object, object] = kind.__new__(kind)
    handle.__dict__.update(_path=path, _options=options, _unopened=True, _opening=threading.RLock())
    return handle


@atexit.register
def _close_all() -> None:
    with contextlib.ExitStack() as stack:
        for handle in list(_live.values()):
            stack.callback(handle.close)


def absolute(path: str | os.PathLike[str]) -> str:
    """Return the path of a store as a whole one; what cannot be one is a TypeError or a ValueError."""
    given = os.fspath(path)
    if not isinstance(given, str):
        raise TypeError(f"the path of a store is str or os.PathLike[str], not {path!r}")
    if not given:
        raise ValueError("the path of a store is empty; give a folder, or None for a fresh one")
    return os.path.abspath(os.path.expanduser(given))


def _path_object(*parts: str) -> Path:
    import pathlib  # takes a quarter of the time to load that all of this package takes

    return pathlib.Path(*parts)


def _fresh_path() -> str:
    import platformdirs  # takes as long to load as all of this package, and only this needs it

    home = platformdirs.user_data_path("diskdict", appauthor=False)
    return str(home / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(4).hex()}")


def open_dict(
    url: str | os.PathLike[str],
    *,
    codec: str | Codec = "json",
    default_ttl: Ttl = None,
    limits: Limits | None = None,
    writeback: bool = False,
    cleanup_interval: float | None = None,
    lock: LockLike | None = None,
    clock: Clock = time.time,
) -> StoreDict[object, object]:
    """Return the dict at `url`: ``"memory:"`` for one without a disk, ``"file:///some/folder"`` or a path for a folder.

    A path that ends in ``.json`` or ``.json.gz``, or is that of a file, is a dict in one JSON file.

    The options mean what they mean for `DiskDict`; a folder that needs others is opened with that class.
    """
    url = os.fspath(url)
    if scheme_of(url) == "file" and not in_one_file(url):
        return DiskDict(
            path_of_url(url),
            codec=codec,
            default_ttl=default_ttl,
            limits=limits,
            writeback=writeback,
            cleanup_interval=cleanup_interval,
            lock=lock,
            clock=clock,
        )
    return StoreDict(
        open_store(url, codec=resolve(codec).name, limits=limits, lock=lock, clock=clock),
        codec=codec,
        default_ttl=default_ttl,
        limits=limits,
        writeback=writeback,
        cleanup_interval=cleanup_interval,
    )

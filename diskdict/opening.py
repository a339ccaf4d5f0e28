"""Opening a folder: find or make the store, take its lock, and learn how it was left."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import NamedTuple

from diskdict import manifest as manifests
from diskdict.files import Folder
from diskdict.layout import DATA, MANIFEST
from diskdict.lock import UNKNOWN, LockFile, Page, own_page
from diskdict.manifest import Manifest


class Opened(NamedTuple):
    """A folder that is open and locked. ``fresh`` says that this call made the store."""

    folder: Folder
    data: Folder
    lockfile: LockFile | None
    manifest: Manifest
    page: Page
    fresh: bool

    def release(self) -> None:
        """Unlock and close it."""
        self.data.close()
        if self.lockfile is not None:
            self.lockfile.release()
        self.folder.close()


class Way(NamedTuple):
    """How to open: to read only, making what is not there, waiting `timeout` seconds for the lock."""

    readonly: bool
    create: bool
    timeout: float
    sleep: Callable[[float], None]


def open_folder(path: str, wanted: Manifest, way: Way, *, shards_given: bool, limits_given: bool) -> Opened:
    """Open the store at `path`, made to `wanted` if there is none and `way` lets it.

    Raises FileNotFoundError where nothing is and nothing may be made, NotADirectoryError for a file, FormatError for a
    folder that is foreign or not such a store, and what `LockFile` raises.
    """
    mode = 0o600 if wanted.mode is None else wanted.mode
    if way.create and not way.readonly:
        _make(path, mode | (mode & 0o444) >> 2, exact=wanted.mode is not None)
    folder = Folder(path, mode=mode, exact=wanted.mode is not None)
    lockfile = None
    try:
        if manifests.load(folder) is None and (way.readonly or not way.create):
            raise FileNotFoundError(2, f"no store here (there is no {MANIFEST}); make one with create=True", path)
        lockfile = _lock(folder, way)
        found, fresh = _found_or_made(folder, wanted)
        manifests.agree(found, wanted, path, shards_given=shards_given)
        if wanted.mode is None and found.mode is not None:
            folder.mode, folder.exact = found.mode, True
        if not fresh and limits_given and wanted.limits != found.limits and not way.readonly:
            found = found._replace(limits=wanted.limits)
            manifests.save(folder, found)
        data = Folder(DATA, mode=folder.mode, exact=folder.exact, parent=folder)
        try:
            page = _claim(lockfile, fresh=fresh)
        except BaseException:
            data.close()
            raise
        return Opened(folder, data, lockfile, found, page, fresh)
    except BaseException:
        if lockfile is not None:
            lockfile.release()
        folder.close()
        raise


def _make(path: str, mode: int, *, exact: bool) -> None:
    missing = os.path.abspath(path)
    parents = []
    while not os.path.isdir(missing) and os.path.dirname(missing) != missing:
        missing = os.path.dirname(missing)
        parents.append(missing)
    try:
        os.makedirs(path, mode=mode, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, "a store is a folder, and here is a file", path) from None
    if exact and parents:
        os.chmod(path, mode)
    for parent in parents:
        # Names can be made in a folder that cannot be read.
        with contextlib.suppress(PermissionError), contextlib.closing(Folder(parent)) as folder:
            folder.sync()


def _lock(folder: Folder, way: Way) -> LockFile | None:
    try:
        return LockFile(folder, shared=way.readonly, timeout=way.timeout, sleep=way.sleep)
    except FileNotFoundError:
        # Read-only media may hold a store whose lockfile was left behind; there nobody writes.
        if way.readonly:
            return None
        raise


def _found_or_made(folder: Folder, wanted: Manifest) -> tuple[Manifest, bool]:
    # Asked again: somebody else may have made the store while this process waited for the lock.
    found = manifests.load(folder)
    if found is not None:
        return found, False
    folder.mkdir(DATA)
    # The manifest says that the store is whole.
    folder.sync()
    manifests.save(folder, wanted)
    return wanted, True


def _claim(lockfile: LockFile | None, *, fresh: bool) -> Page:
    own = own_page()
    if fresh:
        page = own
    elif lockfile is None or lockfile.page is None:
        # The lockfile was lost: what it knew has to be assumed, or found out.
        page = own._replace(suspect=True, ceiling=UNKNOWN, expiring=True, sidecars=True)
    else:
        found = lockfile.page
        page = found._replace(pid=own.pid, host=own.host, since=own.since, clean=True)
        page = page._replace(suspect=found.suspect or not found.clean)
    if lockfile is not None and not lockfile.shared:
        lockfile.write(page)
    return page


def check_choice(name: str, given: str, choices: tuple[str, ...]) -> None:
    """Raise a ValueError where an option is none of its choices."""
    if given not in choices:
        raise ValueError(f"{name} is one of {', '.join(map(repr, choices))}, not {given!r}")


def check_number(name: str, given: float) -> None:
    """Raise a ValueError where an option is no number from 0."""
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not given >= 0:
        raise ValueError(f"{name} is a number from 0, not {given!r}")


def check_perm(perm: int | None) -> None:
    """Raise a ValueError where an option is neither None nor the permission bits of a file that its owner can use."""
    if perm is not None and not (type(perm) is int and 0 <= perm <= 0o777 and perm & 0o600 == 0o600):
        raise ValueError(f"perm is the permission bits of a file, the owner's 0o600 among them, not {perm!r}")


def path_of_url(url: str) -> str:
    """Return the path in ``file:///some/folder``; what has no scheme is a path already."""
    if not url.startswith("file:"):
        return url
    from urllib.parse import unquote  # takes a while to load, and only URLs need it

    path = url.removeprefix("file:")
    if path.startswith("//"):
        host, slash, rest = path[2:].partition("/")
        if host not in ("", "localhost"):
            host = host.rpartition("@")[2]
            raise ValueError(f"{host!r} is another host; a file: URL is of this machine, as file:///some/folder")
        path = slash + rest
    return unquote(path)


def is_one_file(path: str) -> bool:
    """Return whether a path is that of a store in one file: of a file, or of nothing yet whose name ends like one."""
    return os.path.isfile(path) or (path.endswith((".json", ".json.gz", ".json.zst")) and not os.path.isdir(path))

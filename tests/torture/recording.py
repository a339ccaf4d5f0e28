"""What a process does to a folder, call by call: `Recorder` makes a row of `Event` of it.

Files go by numbers, since their names change; folders go by their path below the place that is recorded, and are never
renamed. Calls that change times and permission bits are left out: nothing that is promised depends on them.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from os import lseek, pread  # the system's own, whatever is put in its place later
from typing import Any, NamedTuple

import faults

FOLDER = 0
"""In place of the number of a file: a folder."""


class Names(NamedTuple):
    """What some paths lead to from now on, all at once; None is nothing. ``replaced`` was renamed over another file."""

    entries: tuple[tuple[str, int | None], ...]
    replaced: int | None = None


class Attribute(NamedTuple):
    """An extended attribute of a file, None where it is removed."""

    file: int
    name: str
    value: bytes | None


class Write(NamedTuple):
    """Bytes of a file; ``grows`` says whether it is longer than before."""

    file: int
    offset: int
    content: bytes
    grows: bool


class Resize(NamedTuple):
    """The size of a file is this one."""

    file: int
    size: int


class Sync(NamedTuple):
    """A file by its number or a folder by its path, or with None everything, is on disk."""

    what: int | str | None


class Step(NamedTuple):
    """The change with this number begins, or is acknowledged."""

    number: int
    done: bool


class Given(NamedTuple):
    """A file of the caller's is there, and on disk."""

    path: str


Event = Names | Attribute | Write | Resize | Sync | Step | Given


class Recorder(faults.Plan):
    """Notes what the calls do to the files below `root`; `faults.install_with_syncs` has them seen.

    Syncs of the paths in `overlooked`, and with None those of everything, are taken for ones that never happened.
    """

    def __init__(self, root: str, overlooked: Collection[str | None] = ()) -> None:
        super().__init__()
        self.events: list[Event] = []
        self._root = root
        self._deaf = overlooked
        self._names: dict[str, int] = {}
        self._sizes: dict[int, int] = {}
        self._files: dict[int, int | None] = {}
        self._folders: dict[int, str] = {}

    def let(self, name: str, real: faults.Call, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        result = real(*arguments, **options)
        note = getattr(self, f"_{name}", None)
        if note is not None:
            note(result, *arguments, **options)
        return result

    def _path(self, path: str, folder: int | None) -> str:
        whole = os.path.normpath(os.path.join("" if folder is None else self._folders[folder], path))
        if whole.startswith("/"):
            whole = os.path.relpath(whole, self._root)
        return "" if whole == "." else whole

    def _open(self, fd: int, path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        there = self._path(path, dir_fd)
        if flags & os.O_DIRECTORY:
            self._folders[fd] = there
            return
        if there not in self._names and flags & os.O_CREAT:
            self._names[there] = len(self._sizes) + 1
            self._sizes[self._names[there]] = 0
            self.events.append(Names(((there, self._names[there]),)))
        elif there not in self._names and not there.startswith(".."):
            self._find(there, fd)
        self._files[fd] = self._names.get(there)

    def _find(self, there: str, fd: int) -> None:
        """Note a file of the caller's, which was there before, and on disk."""
        file, size = len(self._sizes) + 1, os.fstat(fd).st_size
        self._names[there], self._sizes[file] = file, size
        content = Write(file, 0, pread(fd, size, 0), grows=True)
        self.events += [Names(((there, file),)), content, Sync(file), Sync(there.rpartition("/")[0]), Given(there)]

    def _close(self, _: None, fd: int) -> None:
        self._files.pop(fd, None)
        self._folders.pop(fd, None)

    def _mkdir(self, _: None, path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        self.events.append(Names(((self._path(path, dir_fd), FOLDER),)))

    def _unlink(self, _: None, path: str, *, dir_fd: int | None = None) -> None:
        there = self._path(path, dir_fd)
        del self._names[there]
        self.events.append(Names(((there, None),)))

    def _link(
        self,
        _: None,
        source: str,
        target: str,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        there = self._path(target, dst_dir_fd)
        self._names[there] = self._names[self._path(source, src_dir_fd)]
        self.events.append(Names(((there, self._names[there]),)))

    def _replace(self, _: None, source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        before, after = self._path(source, src_dir_fd), self._path(target, dst_dir_fd)
        file = self._names.pop(before)
        replaced = file if after in self._names else None
        self._names[after] = file
        self.events.append(Names(((before, None), (after, file)), replaced))

    def _write(self, written: int, fd: int, content: bytes) -> None:
        self._pwrite(written, fd, content, lseek(fd, 0, os.SEEK_CUR) - written)

    def _pwrite(self, written: int, fd: int, content: bytes, offset: int) -> None:
        file = self._files[fd]
        assert file is not None
        end = offset + written
        self.events.append(Write(file, offset, bytes(content[:written]), end > self._sizes[file]))
        self._sizes[file] = max(end, self._sizes[file])

    def _copy_file_range(self, copied: int, source: int, target: int, count: int, begin: int, offset: int) -> None:
        if copied:
            self._pwrite(copied, target, pread(target, copied, offset), offset)

    def _ftruncate(self, _: None, fd: int, size: int) -> None:
        file = self._files[fd]
        assert file is not None
        self._sizes[file] = size
        self.events.append(Resize(file, size))

    def _posix_fallocate(self, _: None, fd: int, offset: int, length: int) -> None:
        file = self._files[fd]
        assert file is not None
        self._ftruncate(None, fd, max(self._sizes[file], offset + length))

    def _setxattr(self, _: None, fd: int, name: str, value: bytes) -> None:
        file = self._files[fd]
        assert file is not None
        self.events.append(Attribute(file, name, value))

    def _removexattr(self, _: None, fd: int, name: str) -> None:
        file = self._files[fd]
        assert file is not None
        self.events.append(Attribute(file, name, None))

    def _fsync(self, _: None, fd: int) -> None:
        file = self._files.get(fd)
        path = self._folders[fd] if file is None else next(path for path, it in self._names.items() if it == file)
        if path not in self._deaf:
            self.events.append(Sync(path if file is None else file))

    _fdatasync = _fsync  # what it leaves out, the times of a file, is not recorded

    def _syncfs(self, failed: int, fd: int) -> None:
        if not failed and None not in self._deaf:
            self.events.append(Sync(None))

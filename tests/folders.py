"""What the tests of folders share: places for attributes, a process that is killed, and a look at all that is there."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from diskdict import DiskDict, attributes
from diskdict.attributes import Calls
from diskdict.backends.file import FolderStore

PROBE = b"probe"
_FILL = """
import sys
from diskdict import DiskDict
with DiskDict(sys.argv[1]) as d:
    d.update((f"key.{number:06}", number) for number in range(int(sys.argv[2])))
"""


def fill(folder: Path, number: int) -> None:
    """Make a store with so many keys, from ``key.000000``, in another process: there no lines are noted."""
    environment = os.environ | {"PYTHONPATH": str(Path(attributes.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", _FILL, folder, str(number)], env=environment, check=True)


def _refused(*_: object) -> bytes:
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


def use_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every attribute go through the package `xattr`."""
    monkeypatch.setattr(attributes, "calls", attributes.PACKAGE)


def use_sidecars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the kernel answer as on a filesystem without attributes."""
    monkeypatch.setattr(attributes, "calls", Calls(_refused, _refused, _refused))


def use_sidecars_sometimes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each second file refuse its attributes, so that records move to and fro between file and sidecar."""
    use_full_inodes(monkeypatch, every=2)


def use_full_inodes(monkeypatch: pytest.MonkeyPatch, *, every: int = 1) -> None:
    """Have the kernel answer, each time or each second time, as where a file has no room left for attributes."""
    kernel = attributes.calls
    count = itertools.count()

    def set_or_refuse(fd: int, name: str, value: bytes) -> None:
        if value != PROBE and next(count) % every == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        kernel.set(fd, name, value)

    monkeypatch.setattr(attributes, "calls", Calls(kernel.get, set_or_refuse, kernel.remove))


def kill(handle: FolderStore | DiskDict[Any, Any]) -> None:
    """Leave a folder as a process does that is killed: its descriptors are closed and nothing more is written."""
    store = handle if isinstance(handle, FolderStore) else handle._folder
    store.abandon()


def shard_of(name: str, shards: int = 256) -> str:
    """Return the shard of a file name: its CRC-32, as the format says."""
    return f"{zlib.crc32(name.encode()) & (shards - 1):0{len(f'{shards - 1:x}')}x}"


def value_at(folder: Path, name: str, shards: int = 256) -> Path:
    """Return where the value with this file name lies."""
    return folder / "data" / shard_of(name, shards) / name


def beside(value: Path, suffix: str) -> Path:
    """Return the hidden file beside a value: its sidecar (``attr``) or the text of its key (``key``)."""
    return value.with_name(f".{value.name}.{suffix}")


def names_in_shard(shard: str, *, count: int, shards: int = 256) -> list[str]:
    """Return that many names that belong to the shard."""
    return list(
        itertools.islice((name for number in itertools.count() if shard_of(name := f"n{number}") == shard), count)
    )


class Seen(NamedTuple):
    """A file or folder: permission bits, content or the target of a link, attributes."""

    mode: int
    content: bytes | str | None
    attributes: dict[str, bytes]


def tree(folder: Path) -> dict[str, Seen]:
    """Return all that is in a folder, links not followed."""
    return {str(path.relative_to(folder)): _seen(path) for path in sorted(folder.rglob("*"))}


def _seen(path: Path) -> Seen:
    mode = path.lstat().st_mode
    if path.is_symlink():
        return Seen(mode, os.readlink(path), {})
    content = path.read_bytes() if path.is_file() else None
    return Seen(mode, content, attributes_of(path) if content is not None else {})


def attributes_of(path: Path) -> dict[str, bytes]:
    """Return the extended attributes of a file, on systems that have calls for that."""
    if sys.platform != "linux":
        return {}
    try:
        return {name: os.getxattr(path, name) for name in os.listxattr(path)}
    except OSError:
        return {}


def strip(path: Path) -> None:
    """Take all attributes off a file, as a copy by other programs may do."""
    for name in attributes_of(path):
        os.removexattr(path, name)


@contextmanager
def watched() -> Iterator[list[tuple[str, object]]]:
    """Give a list of the files that are opened and the folders that are listed.

    An audit hook would tell the same, but Python 3.11 with one loses threads that start under coverage.
    """
    seen: list[tuple[str, object]] = []

    def noted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: object, *arguments: object, **options: object) -> Any:
            seen.append((name, path))
            return real(path, *arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", noted("open", os.open))
        patch.setattr(os, "scandir", noted("os.scandir", os.scandir))
        yield seen

"""Filesystems of many kinds, made and mounted for a test alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mounts import formatted, mounted

SIZE = 320 << 20
"""Bytes of an image, of which hardly any is used; xfs needs that many."""


class Filesystem(NamedTuple):
    """How a kind is made and mounted.

    ``room`` is what an attribute takes at most, in bytes: 0 where there are none. ``make`` formats an image; without it
    ``options`` are all that mounting needs. In these ``{below}`` is a folder in memory that is there for this alone.
    """

    room: int
    make: tuple[str, ...]
    options: tuple[str, ...] = ("-o", "loop")


_BLOCK, _SMALL_BLOCK, _LONGEST = 4_040, 968, 65_536
_OVERLAY = "lowerdir={below}/lower,upperdir={below}/upper,workdir={below}/work"

FILESYSTEMS: dict[str, Filesystem] = {
    "ext2": Filesystem(_BLOCK, ("mkfs.ext2", "-q", "-F", "-b", "4096")),
    "ext2 with small inodes": Filesystem(_BLOCK, ("mkfs.ext2", "-q", "-F", "-b", "4096", "-I", "128")),
    "ext3": Filesystem(_BLOCK, ("mkfs.ext3", "-q", "-F", "-b", "4096")),
    "ext4": Filesystem(_BLOCK, ("mkfs.ext4", "-q", "-F", "-b", "4096")),
    "ext4 with small blocks": Filesystem(_SMALL_BLOCK, ("mkfs.ext4", "-q", "-F", "-b", "1024")),
    "ext4 without a journal": Filesystem(_BLOCK, ("mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "^has_journal")),
    "ext4 data=journal": Filesystem(_BLOCK, ("mkfs.ext4", "-q", "-F", "-b", "4096"), ("-o", "loop,data=journal")),
    "ext4 data=writeback": Filesystem(_BLOCK, ("mkfs.ext4", "-q", "-F", "-b", "4096"), ("-o", "loop,data=writeback")),
    "xfs": Filesystem(_LONGEST, ("mkfs.xfs", "-q", "-f")),
    "btrfs": Filesystem(16_184, ("mkfs.btrfs", "-q", "-f")),
    "exfat": Filesystem(0, ("mkfs.exfat",), ("-t", "exfat-fuse", "-o", "loop")),
    "tmpfs": Filesystem(_LONGEST, (), ("-t", "tmpfs", "tmpfs")),
    "ramfs": Filesystem(0, (), ("-t", "ramfs", "ramfs")),
    "overlay": Filesystem(_LONGEST, (), ("-t", "overlay", "-o", _OVERLAY, "overlay")),
}


@contextmanager
def filesystem(kind: str, folder: Path) -> Iterator[Path]:
    """Make one in `folder`, mount it there and give the place."""
    _, make, options = FILESYSTEMS[kind]
    if make:
        with mounted(folder / "mounted", *options, formatted(folder / "image", SIZE, *make)) as point:
            yield point
        return
    with mounted(folder / "below", "-t", "tmpfs", "tmpfs") as below:
        for name in ("lower", "upper", "work"):
            (below / name).mkdir()
        with mounted(folder / "mounted", *(option.format(below=below) for option in options)) as point:
            yield point

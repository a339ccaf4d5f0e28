"""A filesystem to measure on: a fresh journaled ext4 in an image file, or a folder that was named."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

IMAGE_BYTES = 12 << 30  # sparse: takes what is written
BYTES_PER_INODE = 8192


class ScratchError(Exception):
    """Why no filesystem of our own can be made here."""


@contextlib.contextmanager
def scratch(named: Path | None) -> Iterator[Path]:
    """Give an empty folder to measure in, and remove it with all that is in it afterwards."""
    if named is None:
        with journaled_ext4() as mounted:
            yield mounted
    else:
        named.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="bench-", dir=named) as folder:
            yield Path(folder)


@contextlib.contextmanager
def journaled_ext4() -> Iterator[Path]:
    """Make, mount, give, unmount and remove an image; also after an error or Ctrl-C."""
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        raise ScratchError("making and mounting an ext4 image takes root and mkfs.ext4")
    with tempfile.TemporaryDirectory(prefix="diskdict-bench-") as folder:
        image, mounted = Path(folder, "image"), Path(folder, "mounted")
        mounted.mkdir()
        with image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        # Without the lazy options the kernel would go on writing inode tables while we measure.
        lazy = "lazy_itable_init=0,lazy_journal_init=0"
        inodes = str(BYTES_PER_INODE)
        command("mkfs.ext4", "-q", "-F", "-O", "has_journal", "-i", inodes, "-E", lazy, str(image))
        command("mount", "-o", "loop", str(image), str(mounted))
        try:
            yield mounted
        finally:
            unmount(mounted)


def unmount(mounted: Path) -> None:
    """Unmount; where something still has a file open there, at once from sight and for good when it closes."""
    if subprocess.run(["umount", mounted], capture_output=True, check=False).returncode:
        command("umount", "--lazy", str(mounted))


def command(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ScratchError(f"{' '.join(words)}: {done.stderr.strip()}")


def filesystem(folder: Path) -> str:
    """Return type and options of the filesystem that holds a folder, as far as the system tells."""
    best = ("", "unknown")
    with contextlib.suppress(OSError):
        for line in Path("/proc/mounts").read_text().splitlines():
            _, point, kind, options, *_ = line.split()
            if folder.resolve().is_relative_to(point) and len(point) >= len(best[0]):
                best = (point, f"{kind} ({options})")
    return best[1]

"""Filesystems for a test alone, where this user may mount them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class CannotMountError(Exception):
    """This user may not, or the system has no such filesystem; says why."""


@contextmanager
def mounted(point: Path, *arguments: str | Path) -> Iterator[Path]:
    """Mount at `point`, which is made, as ``mount ARGUMENTS point`` does, and unmount at the end."""
    point.mkdir(exist_ok=True)
    _run("mount", *arguments, point)
    try:
        yield point
    finally:
        _run("umount", point)


@contextmanager
def image(path: Path, size: int, *options: str) -> Iterator[Path]:
    """Make an ext4 image of `size` bytes at `path` and mount it beside that; the mounted folder is given."""
    with path.open("wb") as file:
        file.truncate(size)
    _run("mkfs.ext4", "-q", "-F", *options, path)
    with mounted(path.with_name(f"{path.name}-mounted"), "-o", "loop", path) as point:
        yield point


def _run(*command: str | Path) -> None:
    try:
        subprocess.run([*command], capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise CannotMountError(f"there is no {command[0]}") from error
    except subprocess.CalledProcessError as error:
        raise CannotMountError(error.stderr.strip()) from error

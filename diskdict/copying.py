"""Copying from file to file."""

from __future__ import annotations

import contextlib
import os
from typing import Final

from diskdict.files import write_all

_AT_ONCE: Final = 1 << 30
_PIECE: Final = 1 << 18


def copy_rest(source: int, target: int, at: int) -> None:
    """Copy what a file has from `at` on to where another stands: by the system where it can, which may share blocks."""
    if hasattr(os, "copy_file_range"):
        # What it does not do for these two, or says is nothing for files of the system, is copied below.
        with contextlib.suppress(OSError):
            while some := os.copy_file_range(source, target, _AT_ONCE, at):
                at += some
    while piece := os.pread(source, _PIECE, at):
        write_all(target, piece)
        at += len(piece)

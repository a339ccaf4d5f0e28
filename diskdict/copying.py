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
            to = os.lseek(target, 0, os.SEEK_CUR)
            try:
                while some := os.copy_file_range(source, target, _AT_ONCE, at, to):
                    at, to = at + some, to + some
            finally:
                os.lseek(target, to, os.SEEK_SET)
    while piece := os.pread(source, _PIECE, at):
        write_all(target, piece)
        at += len(piece)

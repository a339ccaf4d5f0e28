"""Patterns of keys: the globs of shells."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from typing import Final

_WILD: Final = re.compile(r"[*?\[]")


def matcher(glob: str) -> Callable[[str], object]:
    """Return what tells whether a text is as the glob has it: ``* ? [a-z] [!a-z]``, case counts.

    Each ``*`` takes the shortest way and never goes back, so that no glob takes exponential time.
    """
    return re.compile(fnmatch.translate(glob)).match


def prefix_of(glob: str) -> str:
    """Return what every text that is as the glob has it begins with."""
    return _WILD.split(glob, maxsplit=1)[0]

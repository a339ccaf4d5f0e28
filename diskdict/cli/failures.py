"""What went wrong as an exit code and one line on stderr.

::

    0  fine        1  a key is not there, or there already        2  not as the command is used, or refused
                   3  another process has the store               4  damage was found
"""

from __future__ import annotations

import sys
from typing import Final

from diskdict import CorruptValueError, KeyExistsError, KeyNotFoundError, StoreLockedError, VerificationError
from diskdict.cli.screen import red, visible

FINE: Final = 0
NOT_FOUND: Final = 1
USAGE: Final = 2
LOCKED: Final = 3
DAMAGED: Final = 4
INTERRUPTED: Final = 130
"""What shells say of a command that was ended by Ctrl-C."""

_CODES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (KeyNotFoundError, NOT_FOUND),
    (KeyExistsError, NOT_FOUND),
    (StoreLockedError, LOCKED),
    (CorruptValueError, DAMAGED),
    (VerificationError, DAMAGED),
)


class UsageError(ValueError):
    """The command cannot do what was asked in this way; the message says why."""


def code_of(error: Exception) -> int:
    """Return the exit code for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), USAGE)


def sentence_of(error: Exception) -> str:
    """Return what an error says, with what it is about, without line breaks."""
    if isinstance(error, StoreLockedError):
        said = f"{error.path} is in use by {error.holder}"
    elif isinstance(error, OSError) and error.strerror:
        said = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    else:
        said = str(error) or type(error).__name__
    return visible(" ".join("; ".join([said, *getattr(error, "__notes__", [])]).split()))


def tell(sentence: str) -> None:
    """Say on stderr, in one line, what went wrong; nowhere where that is closed."""
    if sys.stderr:
        sys.stderr.write(f"{red('diskdict:')} {sentence}\n")

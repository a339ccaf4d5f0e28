"""Every error that diskdict raises on purpose.

::

    DiskDictError
      KeyNotFoundError      (KeyError, ValueError)    a key that had to be there is not
      KeyExistsError        (KeyError, ValueError)    a key that had to be absent is there
      InvalidKeyError       (TypeError, ValueError)   a key of a type or form that cannot be stored
      InvalidValueError     (TypeError, ValueError)   a value that the codec cannot give back as it was
      LimitError            (ValueError)              a limit of the store would be passed
      StoreLockedError      (BlockingIOError)         another handle or process has the store
      LockUnsupportedError  (OSError)                 the filesystem knows no locks
      ClosedError           (ValueError)              the handle was closed, or belongs to a parent process
      ReadOnlyError         (TypeError)               a change through a handle opened to read
      FormatError           (ValueError)              a folder or file that is not, or not such, a store
      CorruptValueError                               a value on disk is not what was written
      ConflictError                                   somebody else changed the key first
      DurabilityError       (OSError)                 the disk refused to make a change durable
      VerificationError                               a signature or a key does not match

    DamagedItemWarning      (UserWarning)             an item of a flushed queue is damaged and was set aside

The dict face raises plain ``KeyError(key)`` for a missing key, as dict does. An error of the operating system that has
no meaning of its own here (no space left, permission denied) is raised as what it is.
"""

from __future__ import annotations

import errno
import os


class DiskDictError(Exception):
    """The base of all errors of this package."""


class _KeyedError(DiskDictError, KeyError, ValueError):
    """Keeps KeyError's ``args == (key,)`` and says a sentence where KeyError says the key's repr."""

    sentence = "{key!r}"

    def __init__(self, key: object) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return self.sentence.format(key=self.key)


class KeyNotFoundError(_KeyedError):
    """The key is not there, or has expired. ``key`` is the key."""

    sentence = "no live key {key!r}"


class KeyExistsError(_KeyedError):
    """The key is there and must not be. ``key`` is the key."""

    sentence = "key {key!r} exists already"


class InvalidKeyError(DiskDictError, TypeError, ValueError):
    """The key is of a type or a form that cannot be stored."""


class InvalidValueError(DiskDictError, TypeError, ValueError):
    """The value would not come back equal and of the same type; nothing was written."""


class LimitError(DiskDictError, ValueError):
    """A limit would be passed; nothing was written.

    ``limit`` is the name of the limit, ``allowed`` what it permits, ``met`` what was met.
    """

    def __init__(self, limit: str, allowed: int, met: int, unit: str) -> None:
        super().__init__(limit, allowed, met, unit)
        self.limit = limit
        self.allowed = allowed
        self.met = met
        self.unit = unit

    def __str__(self) -> str:
        return f"{self.limit} allows {self.allowed:,} {self.unit}, this would be {self.met:,}"


class StoreLockedError(DiskDictError, BlockingIOError):
    """The store is in use. ``path`` is its folder or file, ``holder`` a sentence about who has it, if that is known."""

    def __init__(self, path: str, holder: str) -> None:
        super().__init__(errno.EWOULDBLOCK, f"in use by {holder}; close it there, or wait with timeout=", path)
        self.path = path
        self.holder = holder

    def __reduce__(self) -> tuple[type[StoreLockedError], tuple[str, str]]:
        return type(self), (self.path, self.holder)


class _SystemError(DiskDictError, OSError):
    """An error number, a sentence and the path it is about."""

    def __init__(self, code: int, sentence: str, path: str) -> None:
        super().__init__(code, f"{sentence} ({os.strerror(code)})", path)
        self._parts = code, sentence, path

    def __reduce__(self) -> tuple[type[_SystemError], tuple[int, str, str]]:
        return type(self), self._parts


class LockUnsupportedError(_SystemError):
    """The filesystem gives no locks, so a second process could not be kept out."""


class DurabilityError(_SystemError):
    """The disk refused to make a change durable: it is not acknowledged, and the handle only reads from now on."""


class ClosedError(DiskDictError, ValueError):
    """The handle is closed. Open the folder again."""


class ReadOnlyError(DiskDictError, TypeError):
    """The handle was opened with ``readonly=True``."""


class FormatError(DiskDictError, ValueError):
    """The folder or file is no store, or a store of another kind, codec or shape than the one asked for."""


class CorruptValueError(DiskDictError):
    """The value on disk is damaged. ``key`` is its key, ``path`` its file, ``detail`` what does not fit.

    Raised instead of handing out wrong bytes. Other keys go on working; ``verify()`` lists all such files and
    ``repair()`` sets them aside.
    """

    def __init__(self, key: object, path: str, detail: str) -> None:
        super().__init__(key, path, detail)
        self.key = key
        self.path = path
        self.detail = detail

    def __str__(self) -> str:
        where = f" in {self.path}" if self.path else ""
        return f"the value of {self.key!r}{where} is damaged: {self.detail}"


class ConflictError(DiskDictError):
    """Somebody else changed the key between reading and writing. Read it again and repeat."""


class VerificationError(DiskDictError):
    """A signature, an authentication tag or a key does not match; no data is handed out."""


class DamagedItemWarning(UserWarning):
    """An item that `FlushQueue.ingest` met is damaged. Its file was set aside, the other items are back."""

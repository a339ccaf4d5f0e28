"""Opening the store that a command is about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from diskdict import DiskDict, FormatError
from diskdict.cli.failures import UsageError
from diskdict.cli.parsing import Options, store_of

Dict = DiskDict[object, object]


def to_read(options: Options, path: str | None = None) -> Dict:
    """Open a store beside other readers. UsageError where there is none."""
    return _opened(options, path, readonly=True, create=False)


def to_change(options: Options) -> Dict:
    """Open a store for this process alone. UsageError where there is none."""
    return _opened(options, None, readonly=False, create=False)


def to_fill(options: Options) -> Dict:
    """Open a store for this process alone, made where there is none."""
    return _opened(options, None, readonly=False, create=True)


def _opened(options: Options, path: str | None, *, readonly: bool, create: bool) -> Dict:
    path = store_of(options) if path is None else path
    try:
        with codec_hint():
            return DiskDict(path, codec=options.codec, readonly=readonly, create=create, timeout=options.timeout)
    except FileNotFoundError:
        raise UsageError(f"{path}: no store is here") from None


@contextmanager
def codec_hint() -> Iterator[None]:
    """Have the error of a store with another codec say what to do."""
    try:
        yield
    except FormatError as error:
        if "with codec" in str(error):
            error.add_note("say so with --codec")
        raise

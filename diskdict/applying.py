"""Bringing changes to the files of a store."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Final

from diskdict import attributes as xattrs
from diskdict.attributes import Attributes, attributes_of
from diskdict.journal import Amend, Change, Move, Place, Put, Reading, Remove
from diskdict.layout import TMP
from diskdict.records import RecordFiles
from diskdict.store import Record

STAGED: Final = f"../{TMP}/"
"""Where values wait to be placed, from the folder of the shards."""


def latest(reading: Reading) -> Iterable[Change]:
    """Return the last change of each key, removals first: each is of a whole record, so that no other counts."""
    last = {change.key: change for group in reading.groups for change in group.changes}
    return sorted(last.values(), key=lambda change: not isinstance(change, Remove))


def apply(files: RecordFiles, changes: Iterable[Change]) -> None:
    """Make changes in the files that nobody else has changed since."""
    for change in changes:
        path = files.path(change.key)
        if isinstance(change, Remove):
            with contextlib.suppress(FileNotFoundError):
                files.remove(path)
        elif isinstance(change, Put):
            put(files, change.key, change.record)
        elif isinstance(change, Place):
            # What is there now matters only to what has to tell the two by their attributes.
            old = files.find(path) if change.beside else None
            files.welcome(change.key, path)
            files.place(path, STAGED + change.file, change.attributes, old, beside=change.beside, again=True)
        else:
            old = files.find(path)
            if old is not None and isinstance(change, Amend):
                files.amend(path, old, change.attributes)
            elif old is not None and isinstance(change, Move):
                target = files.path(change.target)
                files.move(path, change.target, target, old, change.attributes, files.find(target))


def put(files: RecordFiles, key: str, record: Record) -> None:
    """Put a record in the files as it is."""
    path = files.path(key)
    old = files.find(path) if files.companions.sidecars else None
    files.write(key, path, record.payload, attributes_of(record), old, record.updated)


def apply_again(files: RecordFiles, changes: Iterable[Change]) -> None:
    """Make those of the changes that were not made yet, and that nothing newer has come in place of."""
    for change in changes:
        key = change.target if isinstance(change, Move) else change.key
        if not is_made(files, change):
            if isinstance(change, (Place, Move)) and _has_come(files, change):
                _welcome_again(files, key)
                _tell_again(files, files.path(key), change.attributes)
                continue
            if isinstance(change, Place) and not change.beside:
                _describe_again(files, change)
            apply(files, [change])
        elif not isinstance(change, Remove):
            _welcome_again(files, key)


def source_of(files: RecordFiles, change: Place | Move) -> str:
    """Return where the value of a change lies: where it comes from, or in its place already."""
    if _has_come(files, change):
        return files.path(change.target if isinstance(change, Move) else change.key)
    return _origin(files, change)


def _origin(files: RecordFiles, change: Place | Move) -> str:
    return files.path(change.key) if isinstance(change, Move) else STAGED + change.file


def _has_come(files: RecordFiles, change: Place | Move) -> bool:
    # With the power gone, what is kept beside a value may be lost or torn where the value has come to its place.
    place = files.path(change.target if isinstance(change, Move) else change.key)
    return not files.data.has(_origin(files, change)) and _holds(files, place, change.attributes)


def _tell_again(files: RecordFiles, path: str, new: Attributes) -> None:
    old = files.find(path)
    if old is not None:
        files.amend(path, old, new)


def _describe_again(files: RecordFiles, change: Place) -> None:
    # With the power gone, what was staged may have lost its attributes and not its bytes.
    fd = files.data.open(STAGED + change.file)
    try:
        xattrs.apply(fd, change.attributes)
    finally:
        os.close(fd)


def _welcome_again(files: RecordFiles, key: str) -> None:
    # With the power gone, the text of a long key may have been lost where its value was not.
    path = files.path(key)
    if files.data.has(path):
        files.welcome(key, path)


def is_made(files: RecordFiles, change: Change) -> bool:
    """Return whether a change is in the files, or what has come after it."""
    path = files.path(change.target if isinstance(change, Move) else change.key)
    known = files.find(path)
    if isinstance(change, Remove):
        return known is None or known.version >= change.version
    version = change.record.version if isinstance(change, Put) else change.attributes.version
    if known is not None and known.version >= version:
        # With the power gone before its bytes were on disk, a file may have no more than its attributes.
        return known.version > version or not isinstance(change, Put) or files.data.read(path) == change.record.payload
    if not isinstance(change, Place):
        return False
    # It may have gone since, or be torn with the power gone.
    return not (_holds(files, STAGED + change.file, change.attributes) or _has_come(files, change))


def _holds(files: RecordFiles, path: str, attributes: Attributes) -> bool:
    """Return whether there is a file with the value that these attributes were written with."""
    try:
        fd = files.data.open(path)
    except FileNotFoundError:
        return False
    try:
        # An upload may be larger than the memory.
        return xattrs.holds(fd, attributes)
    finally:
        os.close(fd)

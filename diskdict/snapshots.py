"""Building the index of a folder: from its snapshot where that is current, from the files where it is not."""

from __future__ import annotations

import time
from typing import Final

from diskdict.files import Folder
from diskdict.index import Entry, Index, Snapshot, Stamp, decode_snapshot, encode_snapshot
from diskdict.layout import INDEX, encode_name
from diskdict.records import RecordFiles
from diskdict.scanning import scan, stamp

_TEMPORARY: Final = INDEX + ".new"
# A folder that changes twice within one tick of the kernel's clock shows one time for both.
_TICK_NS: Final = 10_000_000


def load_index(folder: Folder, files: RecordFiles) -> Index:
    """Return the index of what is in the folder now. The caller holds the mutation lock."""
    stamps = _stamps(files)
    snapshot = _read_snapshot(folder)
    if snapshot is None:
        index = Index.of(sorted(_scanned(files, stamps), key=_order))
        index.changed = True
        return index
    stale = {name for name, now in stamps.items() if not _current(snapshot, name, now)}
    gone = snapshot.stamps.keys() - stamps.keys()
    if not stale and not gone:
        return snapshot.content
    names = files.shards.names
    kept = [
        entry
        for entry in snapshot.content.entries()
        if (shard := names[files.shards.number(encode_name(entry.key))]) not in stale and shard not in gone
    ]
    index = Index.of(sorted([*kept, *_scanned(files, stale)], key=_order))
    index.changed = True
    return index


def save_index(folder: Folder, files: RecordFiles, index: Index) -> None:
    """Keep the index in the folder for the next opening."""
    stamps = _stamps(files)
    folder.write(INDEX, encode_snapshot(index, stamps, time.time_ns()), _TEMPORARY)
    index.changed = False


def remembered(folder: Folder) -> Index | None:
    """Return the index as it was last kept, whatever has changed since, or None."""
    snapshot = _read_snapshot(folder)
    return None if snapshot is None else snapshot.content


def _read_snapshot(folder: Folder) -> Snapshot | None:
    try:
        return decode_snapshot(folder.read(INDEX))
    except OSError:
        # A cache that cannot be read is a cache that is not there.
        return None


def _stamps(files: RecordFiles) -> dict[str, Stamp]:
    shards = set(files.shards.names)
    names = [name for name, _ in files.data.list() if name in shards]
    return {name: found for name in names if (found := stamp(files, name)) is not None}


def _current(snapshot: Snapshot, name: str, now: Stamp) -> bool:
    return snapshot.stamps.get(name) == now and now[1] < snapshot.taken - _TICK_NS


def _scanned(files: RecordFiles, shards: dict[str, Stamp] | set[str]) -> list[Entry]:
    return [entry for shard in sorted(shards) for entry in scan(files, shard)]


def _order(entry: Entry) -> tuple[int, str]:
    return entry.order, entry.key

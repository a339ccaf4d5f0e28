"""What an import or a migration takes in: entries, one after another, and as many at a time as fit in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from diskdict import Entry

Carried = Entry[object, object]

CHUNK: Final = 1_000
CHUNK_BYTES: Final = 8 << 20


class Item(NamedTuple):
    """An entry, how large it is about, and the line it was found in, 0 for none."""

    entry: Carried
    size: int
    line: int = 0


class Source(NamedTuple):
    """Where entries come from: how many there are, None where nobody knows, and the entries."""

    total: int | None
    items: Iterable[Item]


def chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield the items, as many at a time as are stored as one."""
    chunk: list[Item] = []
    size = 0
    for item in items:
        chunk.append(item)
        size += item.size
        if len(chunk) == CHUNK or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk

"""The index: order, size and expiry of all keys in memory, and its snapshot on disk.

It is a cache of the folder, built when first needed and exact from then on. A dict from key text to one number, order
and size packed together, costs about a hundred bytes a key; that dict's own order is the order of the store.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Self

import ujson

from diskdict.layout import escape, unescape
from diskdict.store import NEVER

_SIZE_BITS: Final = 48
_SIZE_MASK: Final = (1 << _SIZE_BITS) - 1
_HEAP_SLACK: Final = 64


class Entry(NamedTuple):
    """What the index knows of a key: its text, order, payload size in bytes, expiry, and spelling if unusual."""

    key: str
    order: int
    size: int
    expires: float = NEVER
    spelling: str | None = None


class Index:
    """All keys of a store that is open.

    ``loaded`` says whether it holds them yet; until then it is empty and records nothing. ``uncertain`` are the keys of
    mutations that have begun and not ended: what is known of them is to be asked from the disk.

    Notes
    -----
    Changes are made under the store's mutation lock. `contains` needs no lock.
    """

    def __init__(self, *, loaded: bool = False) -> None:
        self.loaded = loaded
        self.changed = False
        self.packed: dict[str, int] = {}
        self.expires: dict[str, float] = {}
        self.spellings: dict[str, str] = {}
        self.uncertain: set[str] = set()
        self.payload_bytes = 0
        self._due: list[tuple[float, str]] = []
        self._dead: dict[str, None] = {}
        self._now = 0.0
        self._size_changes = 0

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Self:
        """Return an index that holds the entries, in their order."""
        index = cls(loaded=True)
        for key, order, size, expires, spelling in entries:
            index.packed[key] = order << _SIZE_BITS | size
            index.payload_bytes += size
            if expires != NEVER:
                index.expires[key] = expires
            if spelling is not None:
                index.spellings[key] = spelling
        index._order_by_expiry()
        return index

    def _order_by_expiry(self) -> None:
        self._due = [(when, key) for key, when in self.expires.items()]
        heapq.heapify(self._due)

    def put(self, key: str, order: int, size: int, expires: float, spelling: str | None) -> None:
        """Record that the key is there, at the end unless it was there with this order."""
        if not self.loaded:
            return
        known = self.packed.get(key)
        if known is None or key in self._dead:
            self._size_changes += 1
        if known is not None:
            self.payload_bytes -= known & _SIZE_MASK
            if known >> _SIZE_BITS != order:
                del self.packed[key]
        self.packed[key] = order << _SIZE_BITS | size
        self.payload_bytes += size
        self.changed = True
        if expires != NEVER or key in self.expires:
            self._set_expiry(key, expires)
        if spelling is not None:
            self.spellings[key] = spelling
        elif self.spellings:
            self.spellings.pop(key, None)

    def _set_expiry(self, key: str, expires: float) -> None:
        self._dead.pop(key, None)
        if expires == NEVER:
            del self.expires[key]
            return
        self.expires[key] = expires
        heapq.heappush(self._due, (expires, key))
        if len(self._due) > 2 * len(self.expires) + _HEAP_SLACK:
            self._order_by_expiry()

    def remove(self, key: str, *, expired: bool = False) -> None:
        """Record that the key is not there. Removing what had expired changes no size that anybody saw."""
        known = self.packed.pop(key, None)
        if known is None:
            return
        self.changed = True
        self.payload_bytes -= known & _SIZE_MASK
        if not expired:
            self._size_changes += 1
        self.expires.pop(key, None)
        self.spellings.pop(key, None)
        self._dead.pop(key, None)

    def get(self, key: str) -> Entry | None:
        """Return what is known of a key, expired or not."""
        known = self.packed.get(key)
        if known is None:
            return None
        order, size = known >> _SIZE_BITS, known & _SIZE_MASK
        return Entry(key, order, size, self.expires.get(key, NEVER), self.spellings.get(key))

    def size(self, key: str) -> int:
        """Return the payload size of a key, 0 if it is not there."""
        return self.packed.get(key, 0) & _SIZE_MASK

    def count(self, now: float) -> int:
        """Return the number of live keys."""
        if not self.expires:
            return len(self.packed)
        return len(self.packed) - len(self.dead(now))

    def has_dead(self, now: float) -> bool:
        """Return whether `dead` would have any key, at the cost of one comparison."""
        return bool(self._dead) or (bool(self._due) and self._due[0][0] <= now)

    def dead(self, now: float) -> dict[str, None]:
        """Return the keys that have expired, soonest first; a clock that went back has them live again."""
        if now < self._now:
            for key in self._dead:
                heapq.heappush(self._due, (self.expires[key], key))
            self._dead.clear()
        self._now = now
        while self._due and self._due[0][0] <= now:
            when, key = heapq.heappop(self._due)
            if self.expires.get(key) == when:
                self._dead[key] = None
        return self._dead

    def scan(self, now: float, prefix: str, *, reverse: bool) -> Iterator[str]:
        """Return an iterator over the live keys; a RuntimeError follows at the next step after their number changed."""
        keys = reversed(self.packed) if reverse else iter(self.packed)
        if not prefix and not self.expires:
            return keys
        return self._scan(list(keys), now, prefix)

    def _scan(self, keys: list[str], now: float, prefix: str) -> Iterator[str]:
        changes = self._size_changes
        for key in keys:
            if changes != self._size_changes:
                raise RuntimeError("dictionary changed size during iteration")
            if key.startswith(prefix) and self.expires.get(key, NEVER) > now:
                yield key
        if changes != self._size_changes:
            raise RuntimeError("dictionary changed size during iteration")

    def entries(self) -> Iterator[Entry]:
        """Yield all entries in order, expired or not."""
        for key, known in self.packed.items():
            order, size = known >> _SIZE_BITS, known & _SIZE_MASK
            yield Entry(key, order, size, self.expires.get(key, NEVER), self.spellings.get(key))


Stamp = tuple[int, int]
"""The inode number and the change time (ns) of a shard's folder: while they stay, so do the names in it."""

_MAGIC: Final = b"diskdict index 1 "


class Snapshot(NamedTuple):
    """An index as it was kept on disk, with the ``stamps`` of the shards at the time ``taken`` (ns)."""

    taken: int
    stamps: dict[str, Stamp]
    content: Index


def encode_snapshot(index: Index, stamps: dict[str, Stamp], taken: int) -> bytes:
    """Return the content of STORE/index: a line with a checksum, then one JSON document."""
    document = {
        "taken": taken,
        "stamps": {name: list(stamp) for name, stamp in stamps.items()},
        "keys": [escape(key) for key in index.packed],
        "payload_bytes": index.payload_bytes,
        "packed": list(index.packed.values()),
        "expires": {escape(key): when for key, when in index.expires.items()},
        "spellings": {escape(key): escape(text) for key, text in index.spellings.items()},
    }
    body = ujson.dumps(document).encode()
    return b"%s%08x\n%s\n" % (_MAGIC, zlib.crc32(body), body)


def decode_snapshot(content: bytes) -> Snapshot | None:
    """Return the snapshot, or None for anything damaged: it is only a cache."""
    head, _, body = content.partition(b"\n")
    body = body.removesuffix(b"\n")
    if head != b"%s%08x" % (_MAGIC, zlib.crc32(body)):
        return None
    try:
        document = ujson.loads(body)
        index = Index(loaded=True)
        keys = [unescape(name) for name in document["keys"]]
        index.packed = dict(zip(keys, document["packed"], strict=True))
        index.payload_bytes = int(document["payload_bytes"])
        index.expires = {unescape(name): float(when) for name, when in document["expires"].items()}
        index.spellings = {unescape(name): unescape(text) for name, text in document["spellings"].items()}
        index._order_by_expiry()
        stamps = {name: (int(inode), int(changed)) for name, (inode, changed) in document["stamps"].items()}
        return Snapshot(int(document["taken"]), stamps, index)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None

"""Time-to-live, metadata and what else is known of a key besides its value: `Expiring`."""

from __future__ import annotations

from collections.abc import Mapping

from diskdict.face import DictFace, K, V
from diskdict.info import Info, describe, pack, unpack
from diskdict.keys import find
from diskdict.store import NEVER, Stat, Store, Ttl
from diskdict.values import Values


class Expiring(DictFace[K, V]):
    """A dict over a store, as far as it asks for and changes the attributes of keys. A missing key is KeyError."""

    _store: Store
    _values: Values[V]

    def ttl(self, key: K) -> float | None:
        """Return the seconds that are left to `key`, None if it does not expire."""
        expires = self.expires_at(key)
        return None if expires is None else max(0.0, expires - self._store.clock())

    def expires_at(self, key: K) -> float | None:
        """Return when `key` expires, in seconds since the epoch, None if it does not."""
        expires = self._stat(key).expires
        return None if expires == NEVER else expires

    def _stat(self, key: K) -> Stat:
        text = find(key)
        stat = None if text is None else self._store.stat(text)
        if stat is None:
            raise KeyError(key)
        return stat

    def expire(self, key: K, ttl: Ttl) -> bool:
        """Have `key` expire in `ttl` seconds from now; say whether it was there."""
        return self._amend_expiry(key, self._values.expires(ttl))

    def touch(self, key: K, ttl: Ttl = None) -> bool:
        """Start the time-to-live of `key` again, at `ttl` or else at ``default_ttl``; say whether it was there.

        Where neither is given it lives for ever.
        """
        return self._amend_expiry(key, self._values.expires(ttl))

    def persist(self, key: K) -> bool:
        """Take the time-to-live away from `key`; say whether it was there."""
        return self._amend_expiry(key, NEVER)

    def _amend_expiry(self, key: K, expires: float) -> bool:
        text = find(key)
        return text is not None and self._store.amend(text, expires=expires) is not None

    def cleanup_expired(self) -> int:
        """Remove what has expired; return how many keys that were."""
        return self._store.sweep()

    def info(self, key: K) -> Info:
        """Return times, size, version, checksum and metadata of `key`."""
        self._settled(key)
        return describe(self._stat(key))

    def set_metadata(self, key: K, metadata: Mapping[str, object], *, replace: bool = False) -> None:
        """Merge `metadata` into that of `key`, or put it in its place."""
        pack(metadata)
        with self._store.exclusive():
            text = self._settled(key)
            tried, stat = None, self._stat(key)
            while stat.version != tried:
                whole = metadata if replace else {**unpack(stat.meta), **metadata}
                if self._store.amend(text, meta=pack(whole), only_if=stat.version) is not None:
                    return
                tried, stat = stat.version, self._stat(key)

    def _settled(self, key: K) -> str:
        text = find(key)
        if text is None:
            raise KeyError(key)
        self._values.settle(text)
        return text

"""From one `KVStore` to another, of another backend: `migrate_store`."""

from __future__ import annotations

from diskdict.caching import beneath
from diskdict.compression import compression_behind, split
from diskdict.kv.kvstore import KVStore
from diskdict.kv.tree import SyncKVStore
from diskdict.migrate import Migrated, OnConflict, migrate
from diskdict.scanning import Progress


async def migrate_store(
    source: KVStore,
    target: KVStore,
    batch_size: int = 100,
    *,
    on_conflict: OnConflict = "error",
    progress: Progress | None = None,
) -> Migrated:
    """Copy all namespaces of `source` with expiry, creation and metadata; compare each key afterwards.

    A key that `target` has with another value is a KeyExistsError, or is left with ``"skip"``, or replaced with
    ``"overwrite"``. Interrupted or killed, it completes when it is run again. `progress` is called, from another
    thread, with the number of keys that are done and of all, after each batch. CorruptValueError, where what is read
    again is not what was written; ValueError for stores whose values are written in different ways.
    """
    return await target.run(migrate_store_sync, source.sync, target.sync, batch_size, on_conflict, progress)


def migrate_store_sync(
    source: SyncKVStore,
    target: SyncKVStore,
    batch_size: int = 100,
    on_conflict: OnConflict = "error",
    progress: Progress | None = None,
) -> Migrated:
    """Do what `migrate_store` does, for those without a loop."""
    there, here = source.codec, target.codec
    if split(there)[0] != split(here)[0]:
        raise ValueError(f"values are written by the codec {there!r} there, and by {here!r} here")
    return migrate(
        beneath(source.store),  # what is there, not what was read some time ago
        target.store,
        batch_size,
        on_conflict=on_conflict,
        progress=progress,
        compressions=(compression_behind(there), compression_behind(here)),
    )

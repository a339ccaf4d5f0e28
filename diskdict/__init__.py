"""diskdict: a dict that lives in a folder, each key one readable file."""

import importlib
from typing import TYPE_CHECKING

from diskdict.backends import open_store
from diskdict.codecs import Codec
from diskdict.datastore import DataStore, get_instance
from diskdict.disk import DiskDict, Stats, open_dict
from diskdict.errors import (
    ClosedError,
    ConflictError,
    CorruptValueError,
    DamagedItemWarning,
    DiskDictError,
    DurabilityError,
    FormatError,
    InvalidKeyError,
    InvalidValueError,
    KeyExistsError,
    KeyNotFoundError,
    LimitError,
    LockUnsupportedError,
    ReadOnlyError,
    StoreLockedError,
    VerificationError,
)
from diskdict.info import Info
from diskdict.kv.tree import SyncKVStore
from diskdict.limits import Limits
from diskdict.migrate import Migrated
from diskdict.queues.blocking import ShutDown
from diskdict.queues.dead import DeadLetter
from diskdict.queues.durable import DurableLifoQueue, DurablePriorityQueue, DurableQueue
from diskdict.queues.flush import FlushQueue
from diskdict.queues.given import Counts, Delivery
from diskdict.queues.letters import DeadLetters
from diskdict.recent import CacheStats
from diskdict.repair import Problem, Report
from diskdict.store import FOREVER, NOT_SET
from diskdict.together import Entry

if TYPE_CHECKING:
    from diskdict import ids
    from diskdict.blobs import (
        VALID_KEY_RE,
        VALID_KEY_REGEXP,
        BlobStore,
        Cached,
        Compressed,
        HashIds,
        Prefixed,
        ReadOnly,
        Signed,
        UrlEncodedKeys,
        UuidIds,
        open_blobs,
    )
    from diskdict.blobs.encrypted import Encrypted as Encrypted
    from diskdict.kv.kvstore import KVStore
    from diskdict.kv.moving import migrate_store, migrate_store_sync
    from diskdict.queues.asynchronous import AsyncDurableQueue
    from diskdict.queues.tasks import QueueShutDown
else:
    _BLOBS = (
        "BlobStore Cached Compressed HashIds Prefixed ReadOnly Signed UrlEncodedKeys UuidIds "
        "VALID_KEY_RE VALID_KEY_REGEXP open_blobs"
    )
    _WHEN_ASKED = {
        "AsyncDurableQueue": "diskdict.queues.asynchronous",
        **dict.fromkeys(_BLOBS.split(), "diskdict.blobs"),
        "ids": "diskdict.ids",
        "KVStore": "diskdict.kv.kvstore",
        "migrate_store": "diskdict.kv.moving",
        "migrate_store_sync": "diskdict.kv.moving",
        "QueueShutDown": "diskdict.queues.tasks",
    }

    def __getattr__(name: str) -> object:
        if name == "Encrypted":
            # Not in `__all__`: `from diskdict import *` needs no extra.
            return importlib.import_module("diskdict.blobs.encrypted").Encrypted
        if name not in _WHEN_ASKED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        # asyncio and streams take longer to load than all else, and most have no need of them.
        module = importlib.import_module(_WHEN_ASKED[name])
        globals()[name] = module if name == "ids" else getattr(module, name)
        return globals()[name]


__all__ = [
    "FOREVER",
    "NOT_SET",
    "VALID_KEY_RE",
    "VALID_KEY_REGEXP",
    "AsyncDurableQueue",
    "BlobStore",
    "CacheStats",
    "Cached",
    "ClosedError",
    "Codec",
    "Compressed",
    "ConflictError",
    "CorruptValueError",
    "Counts",
    "DamagedItemWarning",
    "DataStore",
    "DeadLetter",
    "DeadLetters",
    "Delivery",
    "DiskDict",
    "DiskDictError",
    "DurabilityError",
    "DurableLifoQueue",
    "DurablePriorityQueue",
    "DurableQueue",
    "Entry",
    "FlushQueue",
    "FormatError",
    "HashIds",
    "Info",
    "InvalidKeyError",
    "InvalidValueError",
    "KVStore",
    "KeyExistsError",
    "KeyNotFoundError",
    "LimitError",
    "Limits",
    "LockUnsupportedError",
    "Migrated",
    "Prefixed",
    "Problem",
    "QueueShutDown",
    "ReadOnly",
    "ReadOnlyError",
    "Report",
    "ShutDown",
    "Signed",
    "Stats",
    "StoreLockedError",
    "SyncKVStore",
    "UrlEncodedKeys",
    "UuidIds",
    "VerificationError",
    "get_instance",
    "ids",
    "migrate_store",
    "migrate_store_sync",
    "open_blobs",
    "open_dict",
    "open_store",
]

"""What is measured, against what, and how far it may be from it."""

from __future__ import annotations

from typing import NamedTuple

FLOOR = "raw files"
LMDB = "lmdb"
SQLITE = "sqlite3 WAL"
INDEXED = "zict.File"
"""A file per key with its keys in a dict: what a look-up in an index costs."""


class Row(NamedTuple):
    """One operation. `method` is the contender's, `baseline` who the ratio is to, `limit` the ratio aimed at.

    Where there is no baseline the aim is to be ahead of all others.
    """

    name: str
    method: str
    baseline: str = ""
    limit: float = 1.0


class Figure(NamedTuple):
    """A figure of DiskDict alone, with the limit aimed at in the same unit."""

    name: str
    unit: str
    limit: float


INSERT = Row("insert", "put", FLOOR, 1.35)
GET = Row("get", "get", FLOOR, 1.6)
CONTAINS = Row("in", "contains", INDEXED, 1.0)
MISS = Row("miss", "miss", INDEXED, 1.0)
LEN = Row("len", "count", INDEXED, 1.0)
ITERATE = Row("iterate", "walk", INDEXED, 1.0)
OVERWRITE = Row("overwrite", "put", FLOOR, 1.35)
DELETE = Row("delete", "delete", FLOOR, 1.35)
PUT_TTL = Row("put with ttl", "put_ttl", FLOOR, 1.45)
GET_TTL = Row("get, ttl", "get", FLOOR, 2.3)
GET_UNCLEAN = Row("get, unclean", "get", FLOOR, 2.3)
PUT_BIG = Row("put 1 MiB", "put_bytes", FLOOR, 1.15)
GET_BIG = Row("get 1 MiB", "get_bytes", FLOOR, 1.15)
INSERT_INTERVAL = Row("insert, interval", "put", LMDB, 1.0)
OVERWRITE_INTERVAL = Row("overwrite, interval", "put", LMDB, 1.0)
GET_PENDING = Row("get just written", "get", LMDB, 1.0)
PUT_FULL = Row("put, full", "put", LMDB, 1.0)
PUT_FULL_SQLITE = Row("put more, full", "put", SQLITE, 1.0)
PUT_FULL_THREADS = Row("put by 8 threads, full", "put_by_threads", "one thread", 1 / 3)
GET_CACHED = Row("get, cached", "get", LMDB, 1.0)
MIX = Row("4 reads to a write, 4 threads", "put_and_get_by_threads", INDEXED, 1.0)
PUT_MANY_FULL = Row("set_many of 1,000, full", "put_many", "process", 1.5)

ROWS = (
    INSERT,
    OVERWRITE,
    GET,
    GET_TTL,
    GET_UNCLEAN,
    DELETE,
    PUT_TTL,
    CONTAINS,
    MISS,
    LEN,
    ITERATE,
    PUT_BIG,
    GET_BIG,
    INSERT_INTERVAL,
    OVERWRITE_INTERVAL,
    GET_PENDING,
    GET_CACHED,
    MIX,
    PUT_FULL,
    PUT_FULL_SQLITE,
    PUT_FULL_THREADS,
    PUT_MANY_FULL,
)
READS = {"get", "get_bytes", "contains", "miss", "count", "walk", "read"}

QUEUE_PUT = Row("put", "put")
QUEUE_GET = Row("get", "get")
QUEUE_PAIR = Row("put + get", "pair")
QUEUE_HOLD = Row("get, not acknowledged", "hold")
QUEUE_TAKE = Row("get + ack", "take")
QUEUE_PAIR_TAKEN = Row("put + get + ack", "pair_taken")
QUEUE_PUT_MANY = Row("put_many of 100, an item", "put_many")
QUEUE_GET_MANY = Row("get_many of 100, an item", "get_many")


def full(row: Row) -> Row:
    """Return the same row for who has it on disk when it returns."""
    return row._replace(name=f"{row.name}, full")


QUEUE_PROCESS = (
    QUEUE_PUT,
    QUEUE_GET,
    QUEUE_PAIR,
    QUEUE_HOLD,
    QUEUE_TAKE,
    QUEUE_PAIR_TAKEN,
    QUEUE_PUT_MANY,
    QUEUE_GET_MANY,
)
QUEUE_ROWS = (*QUEUE_PROCESS, *(full(row) for row in QUEUE_PROCESS if row is not QUEUE_HOLD))

BLOB_FLOOR = "shutil, open"
BLOB_SIZES = {100: "100 B", 4 << 10: "4 KiB", 1 << 20: "1 MiB", 64 << 20: "64 MiB"}
BLOB_PUT = {name: Row(f"put_file {name}", "put_file", BLOB_FLOOR, 1.15) for name in BLOB_SIZES.values()}
BLOB_GET = {name: Row(f"get_file {name}", "get_file", BLOB_FLOOR, 1.15) for name in BLOB_SIZES.values()}
BLOB_READ = {name: Row(f"open().read() {name}", "read", BLOB_FLOOR, 1.1) for name in BLOB_SIZES.values()}
BLOB_ROWS = (*BLOB_PUT.values(), *BLOB_GET.values(), *BLOB_READ.values())

OPEN = Figure("open and get one", "ms", 2.0)
INDEX = Figure("index from the snapshot", "ms", 150.0)
SCAN = Figure("full scan, per key", "µs", 10.0)
# "No growth": what is left of a constant when it is spread over all keys.
GROWTH_GET = Figure("growth by get, per key", "B", 1.0)
GROWTH_SET = Figure("growth by set, per key", "B", 1.0)
GROWTH_DELETE = Figure("growth by delete, per key", "B", 1.0)
ITERATED = Figure("iterated, per key beside its text", "B", 200.0)
FIGURES = (OPEN, INDEX, SCAN, GROWTH_GET, GROWTH_SET, GROWTH_DELETE, ITERATED)

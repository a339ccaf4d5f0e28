"""Measure stores on servers beside the bare clients of their libraries, on the same servers in one interleaved run.

In each round everybody does each row, by turns in an order that is shuffled each time, so that whatever else the
machine does meets all of them alike. Told are medians of the rounds, and of the rounds' ratios to the bare client. A
folder and memory are there for comparison. Run as ``python benchmarks/bench_backends.py``; it starts its own servers.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
import psycopg_pool
import redis
import redis.asyncio
import ujson
from report import WORD, machine, shown, table, version
from servers import NoServerError, postgres_programs, postgres_server, redis_server

from diskdict import KVStore, open_dict

KEYS: Final = [f"app.user{number:03d}.name" for number in range(1_000)]
VALUE: Final = {"text": "x" * 89}
PAYLOAD: Final = ujson.dumps(VALUE).encode()
SOME: Final = KEYS[:100]
COUNTER: Final = "counter"
PATTERN, BEGIN = "list.group4?.entry*0", "list.group4"
CHUNK: Final = 10_000
PACKAGES: Final = ("redis", "hiredis", "psycopg", "psycopg-pool", "ujson")
UNSYNCED: Final = "options=-csynchronous_commit%3Doff"

BARE, DICT, KV, SCRIPT = "bare client", "open_dict", "KVStore", "bare script"

Call = Callable[[int], Any]
"""A call, by its number; one that is waited for by ``await`` in rows with tasks."""
Figures = dict[str, dict[str, list[float]]]
"""Row, lane, and microseconds a call of each round."""


class Row(NamedTuple):
    """What is done so often in a round, by so many tasks if any; at most `limit` times what the bare client takes."""

    name: str
    calls: int
    limit: float | None = None
    tasks: int = 0


GET, SET, INCREMENT = Row("get", 300, 1.5), Row("set", 300, 1.5), Row("increment", 200)
GET_MANY, SET_MANY = Row("get_many of 100", 10, 1.2), Row("set_many of 100", 10, 1.2)
GET_ALONE = Row("get, 1 task", 200, None, 1)
GET_TASKS, SET_TASKS = Row("get, 64 tasks", 1_280, 1.0, 64), Row("set, 64 tasks", 1_280, 1.0, 64)
FIND = Row("a pattern over many keys, ms", 1)
ROWS: Final = (GET, SET, INCREMENT, GET_MANY, SET_MANY, GET_ALONE, GET_TASKS, SET_TASKS, FIND)
WRITES: Final = (SET, INCREMENT, SET_MANY, SET_TASKS)

Lanes = dict[str, Mapping[Row, Call]]


class BareRedis:
    """redis-py as its manual has it."""

    # What a put of ours does, and nothing in between.
    script: Final = """
        local time = redis.call('TIME')
        redis.call('HMGET', KEYS[1], 'last', 'bytes', 'codec', 'expiring')
        redis.call('GETRANGE', KEYS[2], 0, 56)
        redis.call('HSET', KEYS[1], 'last', time[1], 'codec', 'json')
        redis.call('SET', KEYS[2], ARGV[1])
        return {'ok', {1, 0}}
    """

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)
        self._tasks = redis.asyncio.Redis.from_url(url)
        self._same = self._client.register_script(self.script)

    def rows(self) -> dict[Row, Call]:
        client, tasks = self._client, self._tasks
        return {
            GET: lambda n: client.get(key(n)),
            SET: lambda n: client.set(key(n), PAYLOAD),
            INCREMENT: lambda n: client.incr(COUNTER),
            GET_MANY: lambda n: self._pipelined(lambda line, each: line.get(each)),
            SET_MANY: lambda n: self._pipelined(lambda line, each: line.set(each, PAYLOAD)),
            GET_ALONE: lambda n: tasks.get(key(n)),
            GET_TASKS: lambda n: tasks.get(key(n)),
            SET_TASKS: lambda n: tasks.set(key(n), PAYLOAD),
            FIND: lambda n: list(client.scan_iter(match=f"{BEGIN}?.entry*0", count=1_000)),
        }

    def scripted(self) -> dict[Row, Call]:
        return {SET: lambda n: self._same(keys=["scripted", f"scripted:{key(n)}"], args=[PAYLOAD])}

    def _pipelined(self, command: Callable[[Any, str], object]) -> object:
        line = self._client.pipeline(transaction=False)
        for each in SOME:
            command(line, each)
        return line.execute()

    def fill(self, keys: Sequence[str]) -> None:
        self._client.mset(dict.fromkeys(keys, PAYLOAD))

    async def close(self) -> None:
        self._client.close()
        await self._tasks.aclose()


class BarePostgres:
    """psycopg with prepared statements and a table of keys and values."""

    get: Final = "SELECT value FROM bare WHERE key = %s"
    put: Final = "INSERT INTO bare VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    increment: Final = """INSERT INTO numbers AS n VALUES (%s, 1)
        ON CONFLICT (key) DO UPDATE SET value = n.value + 1 RETURNING n.value"""
    options: Final[Mapping[str, Any]] = {"autocommit": True, "prepare_threshold": 0}

    def __init__(self, url: str) -> None:
        self._client = psycopg.connect(url, **self.options)
        self._client.execute("CREATE TABLE IF NOT EXISTS bare (key text PRIMARY KEY, value bytea)")
        self._client.execute("CREATE TABLE IF NOT EXISTS numbers (key text PRIMARY KEY, value bigint)")
        self._tasks = psycopg_pool.AsyncConnectionPool(
            url, kwargs=dict(self.options), min_size=10, max_size=10, open=False
        )

    def rows(self) -> dict[Row, Call]:
        client = self._client
        return {
            GET: lambda n: client.execute(self.get, (key(n),), binary=True).fetchone(),
            SET: lambda n: client.execute(self.put, (key(n), PAYLOAD)),
            INCREMENT: lambda n: client.execute(self.increment, (COUNTER,)).fetchone(),
            GET_MANY: lambda n: self._pipelined(self.get),
            SET_MANY: lambda n: self._pipelined(self.put, PAYLOAD),
            GET_ALONE: lambda n: self._task(self.get, key(n)),
            GET_TASKS: lambda n: self._task(self.get, key(n)),
            SET_TASKS: lambda n: self._task(self.put, key(n), PAYLOAD),
            FIND: lambda n: client.execute("SELECT key FROM bare WHERE key LIKE %s", (f"{BEGIN}_.entry%0",)).fetchall(),
        }

    def _pipelined(self, statement: Any, *more: object) -> object:
        with self._client.pipeline():
            done = [self._client.execute(statement, (each, *more), binary=True) for each in SOME]
        return [cursor.fetchall() for cursor in done if cursor.description]

    async def _task(self, statement: Any, *parameters: object) -> object:
        await self._tasks.open()
        async with self._tasks.connection() as connection:
            done = await connection.execute(statement, parameters, binary=True)
            return await done.fetchone() if done.description else None

    def fill(self, keys: Sequence[str]) -> None:
        with self._client.cursor() as cursor:
            cursor.executemany(self.put, [(each, PAYLOAD) for each in keys])

    async def close(self) -> None:
        self._client.close()
        await self._tasks.close()


def ours(stack: ExitStack, separate: Callable[[str], str]) -> tuple[Lanes, KVStore]:
    """Return what a dict and a `KVStore` do; `separate` gives the URL of a store of that name."""
    d: Any = stack.enter_context(open_dict(separate("dict")))
    kv = KVStore.from_url(separate("kv"))
    sync = kv.sync
    pairs = dict.fromkeys(SOME, VALUE)
    lanes: Lanes = {
        DICT: {
            GET: lambda n: d[key(n)],
            SET: lambda n: d.__setitem__(key(n), VALUE),
            INCREMENT: lambda n: d.increment(COUNTER),
            GET_MANY: lambda n: d.get_many(SOME),
            SET_MANY: lambda n: d.set_many(pairs),
        },
        KV: {
            GET: lambda n: sync.get(key(n)),
            SET: lambda n: sync.set(key(n), VALUE),
            INCREMENT: lambda n: sync.increment(COUNTER),
            GET_MANY: lambda n: sync.get_many(SOME),
            SET_MANY: lambda n: sync.set_many(pairs),
            GET_ALONE: lambda n: kv.get(key(n)),
            GET_TASKS: lambda n: kv.get(key(n)),
            SET_TASKS: lambda n: kv.set(key(n), VALUE),
            FIND: lambda n: sync.keys(PATTERN),
        },
    }
    return lanes, kv


def key(number: int) -> str:
    return KEYS[number % len(KEYS)]


def listed(count: int) -> Iterator[Sequence[str]]:
    """Yield so many keys for a pattern to choose from, some at a time; it matches one of a hundred."""
    keys = [f"list.group{number * 100 // count:02d}.entry{number:06d}" for number in range(count)]
    yield from (keys[at : at + CHUNK] for at in range(0, count, CHUNK))


class Bench:
    """A run: everybody who is measured in one place, and what came out."""

    def __init__(self, lanes: Lanes, rows: Sequence[Row], runner: asyncio.Runner, chance: random.Random) -> None:
        self.lanes = lanes
        self.rows = rows
        self.figures: Figures = {}
        self._runner = runner
        self._chance = chance

    def warm_up(self) -> None:
        """Have every key there, and every connection."""
        for lane in self.lanes.values():
            for number in range(len(KEYS)):
                lane[SET](number)
            for row in (SET_TASKS, GET_TASKS):
                if row in lane:
                    self._measured(row, lane[row])

    def round(self) -> None:
        for row in self.rows:
            taking = [name for name, lane in self.lanes.items() if row in lane]
            for name in self._chance.sample(taking, len(taking)):
                taken = self._measured(row, self.lanes[name][row])
                self.figures.setdefault(row.name, {}).setdefault(name, []).append(taken)

    def _measured(self, row: Row, call: Call) -> float:
        """Return the microseconds of one call."""
        gc.collect()
        begun = time.perf_counter()
        if row.tasks:
            self._runner.run(in_flight(call, row))
        else:
            for number in range(row.calls):
                call(number)
        return (time.perf_counter() - begun) / row.calls * 1e6

    def ratio(self, row: Row, name: str) -> float | None:
        """Return the median of the rounds' ratios to the bare client."""
        taken = self.figures.get(row.name, {})
        if name == BARE or not {name, BARE} <= taken.keys():
            return None
        return statistics.median(one / other for one, other in zip(taken[name], taken[BARE], strict=True))

    def cell(self, row: Row, name: str) -> str:
        taken = self.figures.get(row.name, {}).get(name)
        if taken is None:
            return "-"
        ratio = self.ratio(row, name)
        figure = shown([each / 1_000 if row is FIND else each for each in taken])
        return figure if ratio is None else f"{figure} (x {ratio:.2f})"


async def in_flight(call: Call, row: Row) -> None:
    """Make the calls of a row by its tasks."""
    numbers = iter(range(row.calls))

    async def one_after_the_other() -> None:
        for number in numbers:
            await call(number)

    await asyncio.gather(*(one_after_the_other() for _ in range(row.tasks)))


def targets(benches: Mapping[str, Bench]) -> list[Sequence[str]]:
    """Return what was aimed at and what was reached."""
    lines: list[Sequence[str]] = []
    for place, bench in benches.items():
        for row in bench.rows:
            found = {name: bench.ratio(row, name) for name in (DICT, KV)}
            reached = {name: ratio for name, ratio in found.items() if ratio is not None}
            if row.limit is not None and reached:
                told = ", ".join(f"{name} x {ratio:.2f}" for name, ratio in reached.items())
                met = WORD[max(reached.values()) <= row.limit]
                lines.append((f"{place}: {row.name}", told, f"x {row.limit:.2f}", met))
    return lines


def text(benches: Mapping[str, Bench], conditions: Mapping[str, object]) -> str:
    """Return everything as reStructuredText."""
    parts = [*(f"- {name}: {value}" for name, value in conditions.items()), ""]
    parts += ["Times what the bare client takes:", "", table(("what", "reached", "target", ""), targets(benches))]
    parts += ["", "Microseconds a call, of a batch and a pattern for the whole:"]
    for place, bench in benches.items():
        lines = [[row.name, *(bench.cell(row, name) for name in bench.lanes)] for row in bench.rows]
        parts += ["", table([place, *bench.lanes], lines)]
    return "\n".join(parts)


class Run:
    """Places that are measured together, round by round."""

    def __init__(self, stack: ExitStack, seed: int, keys: int) -> None:
        self._keys = keys
        self.benches: dict[str, Bench] = {}
        self._stack = stack
        self._runner = stack.enter_context(asyncio.Runner())
        self._chance = random.Random(seed)

    def add(
        self,
        place: str,
        separate: Callable[[str], str],
        bare: BareRedis | BarePostgres | None = None,
        rows: Sequence[Row] = ROWS,
    ) -> None:
        """Measure a dict and a `KVStore` in a place, where `separate` gives the URL of a store of that name."""
        print(f"filling: {place}", file=sys.stderr)
        lanes: Lanes = {}
        if bare is not None:
            lanes[BARE] = bare.rows()
            self._stack.callback(lambda: self._runner.run(bare.close()))
        mine, kv = ours(self._stack, separate)
        self._stack.callback(lambda: self._runner.run(kv.close()))
        lanes |= mine
        if isinstance(bare, BareRedis):
            lanes[SCRIPT] = bare.scripted()
        bench = Bench(lanes, rows, self._runner, self._chance)
        bench.warm_up()
        if FIND in rows:
            for some in listed(self._keys):
                kv.sync.set_many(dict.fromkeys(some, VALUE))
                if bare is not None:
                    bare.fill(some)
        self.benches[place] = bench

    def round(self) -> None:
        for bench in self.benches.values():
            bench.round()


def run(stack: ExitStack, options: argparse.Namespace) -> str:
    on_redis, on_postgres = stack.enter_context(redis_server()), stack.enter_context(postgres_server())
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-backends-", dir=options.dir))
    measuring = Run(stack, options.seed, options.keys)
    measuring.add("Redis", lambda name: f"{on_redis}?prefix={name}:", BareRedis(on_redis))
    measuring.add("PostgreSQL", lambda name: f"{on_postgres}?table={name}", BarePostgres(on_postgres))
    measuring.add(
        "PostgreSQL, synchronous_commit off",
        lambda name: f"{on_postgres}?table=fast_{name}&{UNSYNCED}",
        BarePostgres(f"{on_postgres}?{UNSYNCED}"),
        WRITES,
    )
    measuring.add("folder", lambda name: f"{folder}/{name}")
    measuring.add("memory", lambda name: "memory:")
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        measuring.round()
    conditions = machine() | {
        "servers": f"{said('redis-server', '--version')}; {said(f'{postgres_programs()}/postgres', '--version')}",
        "rounds": options.rounds,
        "keys for a pattern to choose from": f"{options.keys:,}",
        "load": f"{os.getloadavg()[0]:.1f}",
        "versions": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    }
    return text(measuring.benches, conditions)


def said(*command: str) -> str:
    """Return what a program says of itself."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.partition(" sha=")[0].strip()


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure stores on servers beside the bare clients.")
    parser.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    parser.add_argument("--keys", type=int, default=100_000, help="for a pattern (default: %(default)s)")
    parser.add_argument("--dir", type=Path, help="where the folder is (default: the system's temporary ones)")
    parser.add_argument("--seed", type=int, default=1, help="of the order of turns (default: %(default)s)")
    options = parser.parse_args()
    # A terminated run stops its servers and removes what they had, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with ExitStack() as stack:
            print(run(stack, options))
    except NoServerError as reason:
        sys.exit(f"Nothing to measure with: {reason}")


if __name__ == "__main__":
    main()

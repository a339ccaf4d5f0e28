"""Clients of a PostgreSQL server beside clients: nobody's change is lost, and what goes wrong is told as what it is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import psycopg_pool
import pytest
from crew import Crew
from hypothesis import given
from hypothesis import strategies as st
from postgres_server import PASSWORD, USER, PostgresServer, server_or_skip
from redis_server import wait_until
from store_contract import in_threads
from tallies import Announce

from diskdict import (
    ClosedError,
    ConflictError,
    FormatError,
    KVStore,
    LimitError,
    Limits,
    ReadOnlyError,
    open_dict,
    open_store,
)
from diskdict.backends.postgres.columns import bounds, indexed, search, searchable
from diskdict.backends.postgres.servertime import ServerClock
from diskdict.backends.postgres.sqlstates import LostError, translated
from diskdict.backends.postgres.statements import statements
from diskdict.backends.postgres.store import PostgresStore
from diskdict.core import StoreDict
from diskdict.errors import DiskDictError
from diskdict.escapes import escaped, unescaped
from diskdict.store import ABSENT, NEVER

ROOT = Path(__file__).parent.parent
README = ROOT / "README.rst"
_tables = count()

Connect = Callable[..., PostgresStore]


@pytest.fixture(scope="module")
def server(announce: Announce) -> Iterator[PostgresServer]:
    yield from server_or_skip(announce)


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with Crew("postgres_clienting", "diskdict.backends.postgres.store") as crew:
        yield crew


@pytest.fixture
def table() -> str:
    """The name of a table that is not there yet."""
    return f"apart{next(_tables)}"


@pytest.fixture
def connect(server: PostgresServer, table: str) -> Iterator[Connect]:
    """Makes stores that are closed in the end, of the same table if not told otherwise."""
    with ExitStack() as stack:

        def make(url: str | None = None, **options: Any) -> PostgresStore:
            store = PostgresStore(url or server.url(), **{"table": table} | options)
            stack.callback(store.close)
            return store

        yield make


@pytest.fixture
def ask(server: PostgresServer) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Asks the server by SQL, past the store."""
    with psycopg.connect(server.url(), autocommit=True) as connection:

        def make(query: str, *parameters: object) -> list[tuple[Any, ...]]:
            cursor = connection.execute(query, parameters)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

        yield make


# ---- clients beside clients


@pytest.mark.parametrize("each", [50, pytest.param(625, marks=pytest.mark.torture)])
def test_no_increment_is_lost(server: PostgresServer, table: str, crew: Crew, each: int) -> None:
    """Sixteen processes on connections of their own count to the exact sum."""
    url = server.url(table=table)
    with open_dict(url) as d, ExitStack() as stack:
        d["n"] = 0
        actors = [stack.enter_context(crew.actor()) for _ in range(16)]
        for actor in actors:
            actor.start("postgres_clienting.count_up(url, each)", url=url, each=each)
        for actor in actors:
            actor.hear()

        assert d["n"] == 16 * each


@pytest.mark.parametrize("end", ["restart", "kill"])
def test_nothing_acknowledged_is_lost_with_the_server(
    server: PostgresServer, table: str, crew: Crew, end: str, ask: Any
) -> None:
    """Stopped or killed in mid-load, the server has all that it acknowledged, of no pair one half; clients go on."""
    url = server.url(table=table)
    with open_dict(url) as d, ExitStack() as stack:
        d["here"] = 1
        actors = [stack.enter_context(crew.actor()) for _ in range(4)]
        told: list[dict[str, int]] = [{} for _ in actors]
        for number, actor in enumerate(actors):
            actor.start("postgres_clienting.store_and_tell(url, name, say)", url=url, name=str(number))
        for _ in range(3):
            for actor, words in zip(actors, told, strict=True):
                words.update(actor.hear() for _ in range(20))
            if end == "kill":
                server.kill()
                server.start()
            else:
                server.restart()
        for actor, words in zip(actors, told, strict=True):
            words.update(actor.hear() for _ in range(20))
            actor.kill()
            words.update(actor.last_words())
        acknowledged = {key: value for words in told for key, value in words.items()}
        there = {str(key) for key in d}

        assert d["here"] == 1
        assert d.get_many(list(acknowledged)) == acknowledged
        assert not [key for key in there - {"here"} if f"{key.rstrip(chr(39))}'" not in there]
        assert not [key for key in there if key.rstrip("'") not in there]


def test_reads_wait_for_a_server_that_comes_back(server: PostgresServer, connect: Connect) -> None:
    """Who reads while the server is restarted does not notice."""
    store = connect()
    store.put("k", b"value")
    stop = threading.Event()
    seen: list[bytes | None] = []

    def read() -> None:
        while not stop.is_set():
            seen.append(store.read("k"))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        server.restart()
        after = len(seen)
        while len(seen) < after + 20 and thread.is_alive():
            time.sleep(0.001)
    finally:
        stop.set()
        thread.join()

    assert len(seen) > after
    assert set(seen) == {b"value"}


def test_idle_connections_that_have_ended_are_not_used(server: PostgresServer, connect: Connect) -> None:
    """A restart between two uses is noticed before anything is sent, so that even a change goes through."""
    store = connect()
    in_threads(lambda number: store.put(f"k{number}", b"1"), 4)
    server.restart()

    assert store.put("k", b"2") is not None
    assert store.count() == 5


def test_server_that_was_away_for_long(server: PostgresServer, connect: Connect) -> None:
    """Who asks meanwhile is told so, and who asks when it is there again is answered."""
    store = connect(timeout=1)
    store.put("k", b"x")
    server.stop()
    try:
        for _ in range(2):
            with pytest.raises(ConnectionError, match=f"127.0.0.1:{server.port}"):
                store.get("k")
    finally:
        server.start()

    assert store.read("k") == b"x"
    assert store.put("k", b"y") is not None


def test_dict_goes_on_in_a_forked_child(server: PostgresServer, table: str, crew: Crew) -> None:
    """Parent and child each have connections of their own."""
    url = server.url(table=table)
    with crew.actor() as actor:
        code = actor.ask("postgres_clienting.use_on_both_sides_of_a_fork(url, 50)", url=url)

    with open_dict(url) as d:
        assert (code, d["n"]) == (0, 100)


def test_commits_in_opposite_orders_do_not_lock_each_other_out(connect: Connect) -> None:
    """Whoever changes the same keys in whatever order waits for the others, and for nothing else."""
    keys = [f"k{number}" for number in range(8)]
    stores = [connect() for _ in range(6)]

    def work(number: int) -> None:
        mine = keys if number % 2 else keys[::-1]
        for turn in range(15):
            store = stores[number]
            if number < 2:
                store.put_many(dict.fromkeys(mine, b"%d" % turn))
            elif number < 4:
                store.delete_many(mine)
            else:
                d: StoreDict[str, int] = StoreDict(store)
                with suppress(ConflictError), d.transaction():
                    for key in mine:
                        d[key] = turn
            store.rename(mine[0], mine[-1])

    in_threads(work, len(stores))
    assert set(connect().scan()) <= set(keys)


def test_a_reader_sees_all_of_a_commit_or_nothing(connect: Connect) -> None:
    """What is moved between keys, by several at a time, is never missing or there twice; no move is lost."""
    stores = [connect() for _ in range(5)]
    accounts = ["a", "b", "c"]
    first: StoreDict[str, int] = StoreDict(stores[0])
    first.set_many(dict.fromkeys(accounts, 100))

    def move(d: StoreDict[str, int], source: str, target: str) -> None:
        while True:
            try:
                with d.transaction():
                    d.increment(source, -1)
                    d.increment(target, 1)
                return
            except ConflictError:
                pass

    def work(number: int) -> list[int]:
        d: StoreDict[str, int] = StoreDict(stores[number])
        sums = []
        for turn in range(25):
            if number < 2:
                sums.append(sum(d.get_many(accounts).values()))
            else:
                move(d, accounts[number % 3], accounts[(number + 1 + turn % 2) % 3])
        return sums

    seen = [total for sums in in_threads(work, len(stores)) for total in sums]
    assert set(seen) == {300}
    # Each of three moves 25 away, 13 to the next and 12 to the one after that.
    assert first.get_many(accounts) == dict.fromkeys(accounts, 100)


def test_two_who_rely_on_absence_do_not_both_go_on(connect: Connect) -> None:
    """Each creates its key where the other's is not: never are both there."""
    stores = [connect() for _ in range(2)]

    def create(number: int) -> list[bool]:
        done = []
        for turn in range(30):
            mine, other = f"{turn}/{number}", f"{turn}/{1 - number}"
            d: StoreDict[str, int] = StoreDict(stores[number])
            try:
                with d.transaction():
                    if other not in d:
                        d[mine] = 1
            except ConflictError:
                pass
            done.append(mine in d)
        return done

    in_threads(create, 2)
    there = set(connect().scan())
    assert not [turn for turn in range(30) if {f"{turn}/0", f"{turn}/1"} <= there]


def test_a_commit_leaves_no_trace_of_keys_that_it_only_relied_on(connect: Connect, ask: Any, table: str) -> None:
    """Whether it goes through or not, a key whose absence was expected has no row."""
    store = connect()
    store.put("there", b"1")
    store.commit_if({"absent": ABSENT}, {"gone": None})
    with pytest.raises(ConflictError, match="there"):
        store.commit_if({"absent": ABSENT, "there": ABSENT}, {"gone": None})

    assert ask(f"SELECT key FROM {table}") == [("there",)]


def test_creators_of_one_table(server: PostgresServer, table: str) -> None:
    """Of many who find no table one makes it, and all go on."""

    def create(number: int) -> None:
        store = PostgresStore(server.url(), table=table)
        store.put(f"k{number}", b"x")
        store.close()

    in_threads(create)
    with open_dict(server.url(table=table)) as d:
        assert len(d) == 8


def test_orders_and_versions_across_clients(connect: Connect) -> None:
    """Insertions by turns are in that order for all, and no number is given twice."""
    one, other = connect(), connect()
    versions = [store.put(f"k{number}", b"x") for number in range(6) for store in (one, other)]
    versions += [store.put(f"k{number}", b"y") for number in range(6) for store in (other, one)]

    assert list(one.scan()) == list(other.scan()) == [f"k{number}" for number in range(6)]
    assert versions == sorted(set(versions), key=versions.index)
    assert versions == sorted(versions, key=lambda version: version or 0)


# ---- expiry


def test_expiry_is_by_the_clock_of_the_server(connect: Connect, ask: Any) -> None:
    """What is still to come there is there, whatever the time of this machine; a store's clock follows it."""
    store = connect()
    [(now,)] = ask("SELECT extract(epoch FROM clock_timestamp())::float8")
    store.put("past", b"1", expires=now - 0.001)
    store.put("future", b"1", expires=now + 100)

    assert abs(store.clock() - now) < 5
    assert list(store.scan()) == ["future"]
    assert not store.contains("past")
    assert store.put("past", b"2", only_if=ABSENT) is not None


def test_server_clock_asks_from_time_to_time() -> None:
    """In between it goes on by what has passed here, and an answer is taken to be of its middle."""
    here, there, asked = [100.0], [5000.0], []

    def answer() -> float:
        asked.append(here[0])
        here[0] += 1
        return there[0]

    clock = ServerClock(answer, lambda: here[0])
    first = clock()
    here[0] += 4
    second = clock()
    here[0] += 6
    there[0] = 9000.0
    third = clock()

    assert (first, second, third) == (5000.5, 5004.5, 9000.5)
    assert asked == [100.0, 111.0]


def test_expired_rows_do_not_pile_up(connect: Connect, ask: Any, table: str) -> None:
    """Who only writes what expires removes it, too, some writes later."""
    store = connect()
    for number in range(120):
        store.put(f"k{number}", b"x", expires=1.0)

    [(rows,)] = ask(f"SELECT count(*) FROM {table}")
    assert rows <= 50


# ---- keys and metadata


@given(st.text(st.characters(), max_size=8), st.text(st.characters(), max_size=3), st.integers(0, 900))
def test_keys_in_columns(tail: str, prefix: str, length: int) -> None:
    """Every str comes back, and is within the bounds of just those prefixes that it begins with."""
    for key in (prefix + tail, "k" * length + tail, "k" * 600, tail + "\ud800\0\\" + prefix):
        text, whole = indexed(key)
        assert unescaped(whole or text) == key
        assert len(text) <= 666
        assert "\0" not in text
        text.encode()
        for start in (prefix, tail, key, key[:650], key[:650] + "x", "k" * 601):
            within = bounds(start)
            found = within["first"] <= text < within["last"]  # type: ignore[operator]
            found = found and (whole or text).startswith(str(within["prefix"]))
            assert found == key.startswith(start)


def test_long_keys_are_apart(connect: Connect) -> None:
    """Keys of any length and content, alike for long, are kept apart, given back whole, and found by prefix."""
    store = connect()
    start = os.urandom(4000).hex()
    keys = [start, start + "\0", start + "\ud800", start + "\n", start[:-1], "x" * 600, "x" * 601, "\\", "\\0", "\0"]
    store.put_many({key: b"%d" % number for number, key in enumerate(keys)})

    assert list(store.scan()) == keys
    assert list(store.scan(start)) == keys[:4]
    assert list(store.scan(start[:700], reverse=True)) == keys[4::-1]
    assert list(store.scan("x" * 601)) == [keys[6]]
    assert list(store.scan("\\")) == ["\\", "\\0"]
    assert {key: record.payload for key, record in store.get_many(keys).items()} == {
        key: b"%d" % number for number, key in enumerate(keys)
    }
    assert store.rename(keys[0], "short")
    assert store.rename("short", start + "again")
    assert list(store.scan(start)) == [*keys[1:4], start + "again"]


def test_scan_of_many_pages(connect: Connect) -> None:
    """All keys, in order, however many there are, in both directions and by prefix."""
    store = connect()
    keys = [f"{number % 2}/{number:05}" for number in range(12_000)]
    store.put_many(dict.fromkeys(keys, b""))

    assert list(store.scan()) == keys
    assert list(store.scan("1/", reverse=True)) == keys[:0:-2]


METADATA = [
    '{"tags":"finance","b":1}',
    '{ "b": 1.0 , "tags":\t"finance","tags":"finance"}',
    '{"tags":"finance","x":"\\u0000","y":"\\ud800","z":"\ud800","n":1e999,"m":NaN}',
    '{"tags":"finance","deep":' + "[" * 50 + "]" * 50 + "}",
]


@pytest.mark.parametrize("text", METADATA)
def test_metadata_comes_back_as_it_was_and_can_be_searched(connect: Connect, ask: Any, table: str, text: str) -> None:
    """The text to the letter, and beside it what jsonb can hold of it."""
    store = connect()
    store.put("put", b"", meta=text)
    store.put("amended", b"")
    store.amend("amended", meta=text)
    store.put("else", b"", meta='{"tags":"none"}')
    d: StoreDict[str, bytes] = StoreDict(store, codec="raw")
    with d.transaction():
        d.set("committed", b"")
        d._store.amend("committed", meta=text)
    found = ask(f"""SELECT key FROM {table} WHERE metadata @> '{{"tags": "finance"}}' ORDER BY position""")

    assert [record.meta for record in store.get_many(["put", "amended", "committed"]).values()] == [text] * 3
    assert found == [("put",), ("amended",), ("committed",)]


def test_metadata_is_searched_by_index(connect: Connect, ask: Any, table: str) -> None:
    """The planner knows the index where there is much to look through; so for prefixes and expiry."""
    store = connect()
    store.put_many({f"k{number}": b"" for number in range(5_000)}, expires=time.time() + 1e6)
    store.put("k", b"", meta='{"tags":"finance"}')
    ask(f"ANALYZE {table}")

    def plan(query: str) -> str:
        return "\n".join(line for (line,) in ask(f"EXPLAIN SELECT * FROM {table} WHERE {query}"))

    assert "Index" in plan("""metadata @> '{"tags": "finance"}'""")
    assert "Index" in plan("key >= 'k77' AND key < 'k78'")
    assert "Index" in plan("expires < 10 AND expires < 'Infinity'")


def test_metadata_as_jsonb_has_it() -> None:
    """Something near what it does not know; what is too long, or not to be told apart, is to be read."""
    assert searchable(None) is searchable("") is None
    for text in ("no json", "[" * 100_000, "1" * 5_000, "[]"):
        assert searchable(text) == "{}"
    for text in ('{"a":"' + "x" * (1 << 20) + '"}', '{"a\\u0000":1,"a\ufffd":2}'):
        assert searchable(text) == '{"$": "?"}'
    assert searchable(r'{"a\u0000":["\u0000",{"$str":"\\ud800"}]}') == '{"a\ufffd": ["\ufffd", "\ufffd"]}'
    assert searchable('{"a":{"$set":[1,2]},"b":{"$decimal":"1.50"}}') == '{"a": [1, 2], "b": 1.5}'
    assert escaped("a\\\0\ud800") == "a\\\\\\0\\d800"


def test_find_goes_by_the_index(server: PostgresServer, connect: Connect, ask: Any, table: str) -> None:
    """However many keys there are, and whatever their namespace."""
    store = connect()
    store.put_many({f"k{number}": b"" for number in range(5_000)})
    store.put("k", b"", meta='{"tags":"finance"}')
    ask(f"ANALYZE {table}")
    asked = bounds("") | {"path": search({"tags": "finance", "n": -1}), "after": -1, "now": None, "most": 10}
    with psycopg.connect(server.url(), cursor_factory=psycopg.ClientCursor) as connection:
        said = connection.execute(b"EXPLAIN " + statements(table, "'x'").search, asked)
        plan = "\n".join(line for (line,) in said)

    assert f"Bitmap Index Scan on {table}_metadata_idx" in plan
    assert "Seq Scan" not in plan


def test_a_table_of_the_format_before_is_brought_to_this_one(server: PostgresServer, ask: Any, table: str) -> None:
    """What was searchable in another way, or not at all, is found; others are left as they are."""
    long = '{"a":"x","b":"' + "y" * (1 << 20) + '"}'
    with KVStore("url", {"url": server.url(table=table)}).sync as kv:
        for key, meta in (("set", '{"a":{"$set":["x"]}}'), ("long", long), ("plain", '{"a":"x"}'), ("other", "{}")):
            kv.store.put(key, b"1", meta=meta)
        ask(f"""UPDATE {table} SET metadata = convert_from(meta, 'UTF8')::jsonb WHERE key <> 'long'""")
        ask(f"UPDATE {table} SET metadata = NULL WHERE key = 'long'")
        ask(f"COMMENT ON TABLE {table} IS 'diskdict 1 json'")
        before = kv.find(a="x")

    with KVStore("url", {"url": server.url(table=table)}).sync as kv:
        assert (before, kv.find(a="x")) == (["plain"], ["set", "long", "plain"])
    assert ask(f"SELECT metadata FROM {table} WHERE key IN ('plain', 'other')") == [({"a": "x"},), ({},)]
    assert ask("SELECT obj_description(%s::regclass, 'pg_class')", table) == [("diskdict 2 json",)]


# ---- tables


@pytest.mark.parametrize("name", ['we"ird', "per%s cent %(x)s", "it's; DROP TABLE x; --", "Ä" * 31, "select", "a.b"])
def test_any_name_of_a_table(server: PostgresServer, name: str, ask: Any) -> None:
    """A name is a name, whatever is in it, and one table is not another."""
    for _ in range(2):
        store = PostgresStore(server.url(), table=name)
        store.put("k", b"x")
        store.commit_if({"k": store.put("k", b"y")}, {"k": None})
        store.put_many({"k": b"x"})
        assert list(store.scan("k")) == ["k"]
        store.close()

    assert ask("SELECT count(*) FROM pg_tables WHERE tablename = %s", name) == [(1,)]


@pytest.mark.parametrize("name", ["", "x" * 64, "Ä" * 32, "a\0b", 5])
def test_names_that_no_table_can_have(server: PostgresServer, name: Any) -> None:
    """The server would cut a long one short, and two stores would be one."""
    with pytest.raises(ValueError, match="a table has a name"):
        PostgresStore(server.url(), table=name)


def test_a_table_of_others_is_left_alone(connect: Connect, ask: Any, table: str) -> None:
    """It is refused by name, and is as it was."""
    ask(f"CREATE TABLE {table} (key text PRIMARY KEY, mine int)")
    ask(f"INSERT INTO {table} VALUES ('k', 5)")
    with pytest.raises(FormatError, match=table):
        connect().put("k", b"x")

    assert ask(f"SELECT * FROM {table}") == [("k", 5)]


def test_another_codec_is_refused(connect: Connect, ask: Any, table: str) -> None:
    """The table says which one its values have; the error names both, and what to do should that be lost."""
    connect().put("k", b"x")
    with pytest.raises(FormatError, match="codec 'json', not 'raw'"):
        connect(codec="raw").get("k")
    ask(f"COMMENT ON TABLE {table} IS NULL")
    with pytest.raises(FormatError, match="COMMENT ON TABLE"):
        connect().get("k")


def test_no_plan_outlives_the_size_it_was_for(connect: Connect, ask: Any, table: str) -> None:
    """What is asked of an empty table again and again does not read all of it when it has grown."""
    store = connect()

    def use(name: str) -> None:
        many = [f"{name}{number}" for number in range(10)]
        store.put_many(dict.fromkeys(many, b"x"))
        store.get_many(many)
        store.put(many[0], b"x", expires=4e9)
        store.amend(many[0], meta="{}")
        store.get(many[0])
        store.rename(many[0], f"{name}y")
        store.commit_if(dict.fromkeys((f"{name}z{number}" for number in range(10)), ABSENT), {f"{name}y": None})
        store.delete_many(many)
        store.sweep(10)

    ask("SELECT pg_stat_reset()")
    for number in range(10):
        use(f"a{number}.")
    ask(
        f"INSERT INTO {table} (key, payload, checksum, position, created, updated, expires, version)"
        " SELECT 'k' || n, '', 0, n, 0, 0, 'Infinity', n FROM generate_series(1, 30000) AS n"
    )
    for number in range(10):
        use(f"b{number}.")
    store.close()

    def read() -> int:
        [(read, found)] = ask("SELECT seq_tup_read, idx_scan FROM pg_stat_user_tables WHERE relname = %s", table)
        return read if found > 400 else -1

    wait_until(lambda: read() >= 0)
    assert read() < 30_000


def test_a_table_that_was_dropped(connect: Connect, ask: Any, table: str) -> None:
    """That is told as what it is, by reads and changes."""
    store = connect()
    store.put("k", b"x")
    ask(f"DROP TABLE {table}")

    for use in (lambda: store.get("k"), lambda: store.put("k", b"y"), lambda: store.commit({"k": None})):
        with pytest.raises(FormatError, match=table):
            use()


def test_total_bytes_holds_for_all_who_have_it(connect: Connect) -> None:
    """Writers at the same time do not together go beyond what each of them may."""
    stores = [connect(limits=Limits(total_bytes=100)) for _ in range(4)]

    def fill(number: int) -> None:
        for turn in range(10):
            with suppress(LimitError):
                stores[number].put(f"{number}/{turn}", b"x" * 9)

    in_threads(fill, 4)
    assert stores[0].count() == 11


def test_too_large_for_one_value(connect: Connect) -> None:
    """A value that the server has no room for in one field is refused before it is sent."""
    store = connect()
    store.put("k", b"old")
    with pytest.raises(LimitError, match="PostgreSQL"):
        store.put("k", bytes(1 << 30))

    assert store.read("k") == b"old"


# ---- URLs


def test_url_names_table_timeout_and_connections(server: PostgresServer, table: str, ask: Any) -> None:
    """What is diskdict's is taken from the query, and libpq has the rest."""
    url = server.url(table=table, timeout=5, connections=2, application_name="some%20name")
    with open_dict(url) as d:
        d["k"] = {"a": 1}
        named = ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'some name'")
    with open_dict(url.replace("postgresql:", "postgres:")) as d:
        assert d == {"k": {"a": 1}}

    assert named[0][0] >= 1
    assert ask(f"SELECT key, convert_from(payload, 'UTF8') FROM {table}") == [("k", '{"a":1}')]


@pytest.mark.parametrize("query", ["tabel=x", "timeout=soon", "timeout=0", "connections=0", "connections=x"])
def test_what_a_url_says_wrong(query: str) -> None:
    """A ValueError, and the password is not in it."""
    with pytest.raises(ValueError, match=r"tabel|timeout|connections|float|int") as caught:
        open_store(f"postgresql://somebody:hidden@localhost/x?{query}")

    assert "hidden" not in str(caught.value)


def test_missing_extra_is_named() -> None:
    """Without psycopg the error says what to install."""
    code = "import sys; sys.modules['psycopg'] = None; from diskdict import open_store; open_store('postgresql://h/x')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "ImportError: a store in PostgreSQL needs psycopg: pip install diskdict-store[postgres]" in done.stderr


# ---- what goes wrong


def test_nobody_listens(server: PostgresServer) -> None:
    """It says where, and that the vendor's error is behind it."""
    url = server.url().replace(str(server.port), "1")
    with open_dict(url) as d, pytest.raises(ConnectionRefusedError, match=r"127\.0\.0\.1:1/postgres") as caught:
        d["k"] = 1

    assert isinstance(caught.value.__cause__, psycopg.Error)


@pytest.mark.parametrize(("old", "new"), [(PASSWORD.replace(" ", "%20"), "wrong"), (USER + ":", "nobody:")])
def test_password_or_user_is_refused(server: PostgresServer, old: str, new: str) -> None:
    """It says where, and not what the password is."""
    with (
        open_dict(server.url().replace(old, new)) as d,
        pytest.raises(PermissionError, match=f"127.0.0.1:{server.port}") as caught,
    ):
        d.get("k")
    assert "wrong" not in str(caught.value)


def test_database_is_missing(server: PostgresServer) -> None:
    """It says which."""
    with (
        open_dict(server.url().replace("/postgres", "/elsewhere")) as d,
        pytest.raises(ConnectionError, match="elsewh"),
    ):
        d.get("k")


def test_server_that_is_silent(server: PostgresServer, connect: Connect) -> None:
    """No answer in time is a TimeoutError, and when it answers again the store goes on."""
    store = connect(timeout=1)
    store.put("k", b"x")
    with server.frozen(), pytest.raises(TimeoutError, match=f"127.0.0.1:{server.port}"):
        store.get("k")

    patient = connect()
    assert patient.read("k") == b"x"


def test_statement_that_takes_too_long(server: PostgresServer, connect: Connect, ask: Any, table: str) -> None:
    """A row that somebody else has locked is waited for no longer than `timeout`."""
    store, hasty = connect(), connect(timeout=1)
    hasty.put("k", b"x")
    with psycopg.connect(server.url()) as other:
        other.execute(f"SELECT * FROM {table} FOR UPDATE")  # type: ignore[call-overload]
        with pytest.raises(TimeoutError, match=f"127.0.0.1:{server.port}"):
            hasty.put("k", b"y")

    assert store.read("k") == b"x"


def test_all_connections_are_busy(connect: Connect) -> None:
    """Who gets none in time is told that, not that the server is away."""
    store = connect(timeout=1, connections=1)
    store.put("k", b"x")
    with store._table.connections.transaction(), pytest.raises(TimeoutError, match="all 1 connections are busy"):
        store.get("k")

    assert store.read("k") == b"x"


def test_server_that_only_reads(server: PostgresServer, connect: Connect) -> None:
    """A standby, and one that was told to, refuses changes: ReadOnlyError."""
    connect().put("k", b"x")
    store = connect(server.url(options="-cdefault_transaction_read_only%3Don"))

    assert store.read("k") == b"x"
    for change in (lambda: store.put("k", b"y"), lambda: store.delete("k"), lambda: store.commit({"k": None})):
        with pytest.raises(ReadOnlyError):
            change()


def test_use_of_a_closed_store_in_a_thread_that_waits(connect: Connect) -> None:
    """Closed is closed, for whoever asks."""
    store = connect()
    store.put("k", b"x")
    store.close()

    for use in (lambda: store.get("k"), lambda: store.commit({"k": None}), store.clock):
        with pytest.raises(ClosedError):
            use()


def _all_kinds(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    for each in kind.__subclasses__():
        yield each
        yield from _all_kinds(each)


VENDORS = sorted(
    {psycopg.Error, *_all_kinds(psycopg.Error), psycopg_pool.PoolTimeout}, key=lambda kind: kind.__qualname__
)


def test_every_error_of_the_vendor_has_a_meaning_here() -> None:
    """Each is one of this package's or of Python's, and says where."""
    for kind in VENDORS:
        error = translated(kind("what it says"), "host:5432/database")

        assert isinstance(error, DiskDictError | OSError), kind
        assert not isinstance(error, psycopg.Error), kind
        assert "host:5432/database" in str(error), kind


@pytest.mark.parametrize(
    ("state", "meaning"),
    [
        ("40P01", ConflictError),
        ("40001", ConflictError),
        ("53100", OSError),
        ("57014", TimeoutError),
        ("57P01", ConnectionError),
        ("28P01", PermissionError),
        ("42501", PermissionError),
        ("42P01", FormatError),
        ("25006", ReadOnlyError),
        ("58030", OSError),
    ],
)
def test_meaning_of_a_state(state: str, meaning: type[BaseException]) -> None:
    """What people have to tell apart is apart."""
    assert isinstance(translated(psycopg.errors.lookup(state)("x"), "host"), meaning)


def test_lost_connection_says_that_nobody_knows() -> None:
    """Whether the change was made cannot be told."""
    assert isinstance(translated(psycopg.OperationalError("gone"), "host"), LostError)
    with pytest.raises(ConnectionError, match="not known"):
        raise translated(psycopg.OperationalError("gone"), "host")


def test_a_record_that_never_expires_is_so_there(connect: Connect, ask: Any, table: str) -> None:
    """NEVER is Infinity in the table, so that the index of what expires is small."""
    connect().put("k", b"x", expires=NEVER)

    assert ask(f"SELECT expires FROM {table}") == [(float("inf"),)]

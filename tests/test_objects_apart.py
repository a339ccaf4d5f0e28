"""What stores of objects have that others have not: names, conditions, removals, several keys as one, services."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import obstore
import pytest
from clocks import Clock
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore import exceptions
from obstore.store import LocalStore, MemoryStore
from s3_standin import Object, Service
from store_contract import in_threads

from diskdict import ClosedError, ConflictError, CorruptValueError, FormatError, KVStore, open_dict, open_store
from diskdict.backends.objects import ObjectStore, over_client
from diskdict.backends.objects.address import Address, client_of, parsed
from diskdict.backends.objects.apart import LARGE
from diskdict.backends.objects.lines import Held, Line, joined, last_line, packed
from diskdict.backends.objects.lines import parsed as line_of
from diskdict.backends.objects.names import before, begins, key_of, name_of
from diskdict.backends.objects.refusals import LOST, translating
from diskdict.core import StoreDict
from diskdict.kv.addresses import address_of
from diskdict.store import ABSENT, NEVER, Stat

Keep = Callable[[Any], Any]


@pytest.fixture
def keep() -> Iterator[Keep]:
    """Close at the end what was given."""
    kept: list[Any] = []
    yield lambda one: kept.append(one) or one
    for one in kept:
        one.close()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    with service.served() as url:
        yield url


class Ticking:
    """Seconds that pass when somebody sleeps, and what happens then."""

    def __init__(self) -> None:
        self.now = 0.0
        self.then: Callable[[], object] = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.then()


@pytest.fixture
def ticking() -> Ticking:
    return Ticking()


# ---- names and lines

texts = st.text(st.characters(), max_size=30) | st.text("./%~ab", max_size=6) | st.text("é", min_size=100, max_size=400)


@given(texts, texts)
def test_names(key: str, other: str) -> None:
    """A name is a path that services take, belongs to one key, and tells it unless that is long."""
    name = name_of(key)

    assert name.isascii()
    assert len(name) < 800
    assert name.count("/") == 1
    assert name.split("/")[1] not in ("", ".", "..")
    assert (name == name_of(other)) == (key == other)
    if name.startswith("data/"):
        assert key_of(name) == key


@given(texts, texts)
def test_beginnings(prefix: str, rest: str) -> None:
    """What is listed from the beginning on has the key, and a listing that is sorted may begin where it is told."""
    name = name_of(prefix + rest)
    if name.startswith("data/"):
        beginning = begins(prefix)
        assert name.startswith(beginning)
        assert (before(beginning) or "") < name


numbers = st.integers(0, 2**63 - 1)
times = st.floats(0, 1e12)
stats = st.builds(
    Stat, numbers, numbers, numbers, times, times, times | st.just(NEVER), numbers,
    st.none() | st.text(min_size=1), st.none() | st.text(min_size=1),
)  # fmt: skip
helds = st.builds(Held, stats, st.none() | st.text())


@settings(deadline=None)
@given(
    st.builds(Line, numbers, st.none() | st.text(), st.none() | helds, st.none() | st.text(), st.none() | helds,
              st.none() | times),
    st.binary(),
)  # fmt: skip
def test_lines(line: Line, payload: bytes) -> None:
    """What is written beside a payload is read the same, from the object too, and can be sent as a header."""
    text = packed(line)

    assert line_of(text, "k") == line
    assert line_of(last_line(joined(line, payload)), "k") == line
    assert text.isascii()
    assert text.isprintable()
    assert "  " not in text


@pytest.mark.parametrize("text", ["", "{}", "[]", "1", '{"diskdict":3,"number":1}', '{"diskdict":1}', "\ufeff"])
def test_what_is_no_line(text: str) -> None:
    """A foreign object is named."""
    with pytest.raises(CorruptValueError, match="'k'"):
        line_of(text, "k")


# ---- URLs


def test_url() -> None:
    """All that it may say."""
    said = "s3://bucket/a/b?endpoint=http://h:1&region=r&timeout=2&ca=/x&anonymous=true&virtual_hosted=true"

    assert parsed(said) == Address("s3", "bucket", "a/b", "http://h:1", "r", None, 2.0, "/x", True, True)
    assert parsed("gs://b?prefix=x/y/") == Address("gs", "b", "x/y")
    assert parsed("az://c/p?account=me") == Address("az", "c", "p", account="me")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("s3:bucket", "s3://bucket"),
        ("s3://", "s3://bucket"),
        ("s3://b#x", "s3://bucket"),
        ("s3://user:word@b", "environment"),
        ("s3://user:word@b#x", "s3://bucket"),
        ("s3://b?secret=word", "unknown parameter 'secret'"),
        ("s3://b?endpoint=http://user:word@h", "password"),
        ("s3://h:9000/b", "endpoint="),
        ("s3://b?bucket=x", "unknown parameter 'bucket'"),
        ("gs://b?region=x", "unknown parameter 'region'"),
        ("s3://b/p?prefix=q", "not both"),
        ("s3://b/a//b", "segments"),
        ("s3://b/a/../b", "segments"),
        ("s3://b?endpoint=h:1", "https://"),
        ("s3://b?timeout=0", "timeout"),
        ("s3://b?timeout=x", "'x'"),
        ("s3://b?anonymous=1", "true or false"),
        ("az://c", "Account must be specified"),
    ],
)
def test_url_is_refused(url: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong is said, without a password."""
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    with pytest.raises((ValueError, OSError), match=why) as caught:
        open_store(url)

    assert "word" not in str(caught.value).replace("password", "")


def test_clients_of_all_clouds(keep: Keep) -> None:
    """Nothing is asked before the first use."""
    for url in ("s3://b", "gs://b?anonymous=true", "az://c?account=me&anonymous=true"):
        assert isinstance(keep(open_store(url)), ObjectStore)


def test_without_obstore() -> None:
    """The extra is named."""
    code = "import sys; sys.modules['obstore'] = None; import diskdict; diskdict.open_store('s3://b')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "ImportError: a store of objects needs obstore: pip install diskdict-store[objects]" in done.stderr


# ---- what is in the bucket


def names_in(client: Any) -> list[str]:
    return sorted(found["path"] for page in obstore.list(client) for found in page)


def test_objects_are_readable(keep: Keep) -> None:
    """The value as it is, and all else in the metadata and once more in the last line."""
    client = MemoryStore()
    d = StoreDict(keep(over_client(client, codec="json", clock=Clock(1000.0))))
    d.set("user/1", {"name": "x"}, ttl=60, metadata={"by": "me"})

    found = obstore.get(client, "data/user%2F1")
    payload, line = found.bytes().to_bytes().split(b"\n")
    assert names_in(client) == ["data/user%2F1", "diskdict.json"]
    assert payload == b'{"name":"x"}'
    assert found.attributes["diskdict"] == line.decode()
    assert '"expires":1060.0' in line.decode()


def test_nothing_is_left(keep: Keep) -> None:
    """Whatever was done with several keys or removed leaves no objects behind."""
    client = MemoryStore()
    d: Any = StoreDict(keep(over_client(client, codec="json", clock=Clock())))
    d.update(a=1, b=2, c=3)
    with d.transaction():
        d["a"] = 2
        del d["b"]
    d.rename("a", "z")
    d.delete("z")
    d.delete_many(["c", "x"])

    assert names_in(client) == ["diskdict.json"]


def test_metadata_that_does_not_fit(keep: Keep) -> None:
    """It is in the object alone."""
    client = MemoryStore()
    store = keep(ObjectStore(client))
    store.put("k", b"1", meta='{"a":"' + "é" * 1_000 + '"}')

    assert "diskdict" not in obstore.get(client, "data/k").attributes
    assert store.stat("k") == keep(ObjectStore(client)).stat("k")
    assert store.stat("k").meta == '{"a":"' + "é" * 1_000 + '"}'


def test_copies_without_metadata(keep: Keep, tmp_path) -> None:
    """A bucket that was copied file by file still has all."""
    client = MemoryStore()
    store = keep(ObjectStore(client))
    store.put("k", b"1\n2", meta='{"a":1}', expires=9e9)
    copy = MemoryStore()
    for name in names_in(client):
        obstore.put(copy, name, obstore.get(client, name).bytes())

    assert keep(ObjectStore(copy)).get("k") == store.get("k")
    assert keep(ObjectStore(copy)).stat("k") == store.stat("k")


def test_damage_is_told(keep: Keep) -> None:
    """A payload that was changed by others, and an object that is none of ours."""
    client = MemoryStore()
    store = keep(ObjectStore(client))
    store.put("k", b"value")
    obstore.put(client, "data/k", obstore.get(client, "data/k").bytes().to_bytes().replace(b"value", b"eulav"))
    obstore.put(client, "data/foreign", b"hello")

    for key in ("k", "foreign"):
        with pytest.raises(CorruptValueError) as caught:
            store.get(key)
        assert caught.value.key == key


def test_prefixes_keep_apart(keep: Keep) -> None:
    """Stores below different prefixes of a bucket have different keys."""
    client = MemoryStore()
    stores = [keep(ObjectStore(client, prefix=prefix)) for prefix in ("", "a", "a/b")]
    for number, store in enumerate(stores):
        store.put("k", b"%d" % number)

    assert [store.read("k") for store in stores] == [b"0", b"1", b"2"]
    assert [list(store.scan()) for store in stores] == [["k"]] * 3
    stores[1].delete("k")
    assert [store.contains("k") for store in stores] == [True, False, True]


def test_another_codec_is_refused(keep: Keep) -> None:
    """Both names are told, to who reads and to who writes; so is what is no store at all."""
    client = MemoryStore()
    keep(ObjectStore(client, codec="json")).put("k", b"1")
    other = keep(ObjectStore(client, codec="raw"))
    for use in (lambda: other.get("k"), lambda: other.put("k", b"1"), other.count):
        with pytest.raises(FormatError, match="'json', not 'raw'"):
            use()
    for text in (b"hello", b"[]", b'{"format": 2, "codec": "json"}'):
        obstore.put(client, "diskdict.json", text)
        with pytest.raises(FormatError):
            keep(ObjectStore(client)).get("k")


def test_large_values_are_streams(keep: Keep) -> None:
    """They come as they are read, and stay what they were."""
    store = keep(ObjectStore(MemoryStore()))
    value = os.urandom(3 << 20)
    store.put("k", value)
    stream = store.open("k")
    start = stream.read(10)
    store.put("k", b"other")

    assert start + stream.read() == value
    stream.close()
    assert store.open("k").read() == b"other"


# ---- large values


def test_very_large_values(keep: Keep) -> None:
    """They lie in objects of their own, through whatever is done with them, and none is left behind."""
    client = MemoryStore()
    store = keep(ObjectStore(client))
    first, second = os.urandom(LARGE), os.urandom(LARGE + 1)
    store.put("k", first, meta='{"a":1}')
    assert store.read("k") == store.open("k").read() == first
    store.amend("k", expires=9e9)
    store.put_many({"k": second, "other": first})
    assert store.rename("other", "new") is True
    store.put("new", b"small", only_if=store.stat("new").version)
    record = store.get("k")

    assert (record.payload, record.meta) == (second, None)
    assert store.stat("k").size == LARGE + 1
    assert len([name for name in names_in(client) if name.startswith("large/")]) == 1
    store.delete_many(["k", "new"])
    assert names_in(client) == ["diskdict.json"]


def test_large_value_that_is_replaced_while_it_is_read(pair: tuple[ObjectStore, ObjectStore]) -> None:
    """The stream that was begun goes on, and no reader meets a half."""
    one, other = pair
    values = [bytes([number]) * LARGE for number in range(6)]
    other.put("k", values[0])
    stream = one.open("k")

    def work(number: int) -> None:
        for value in values:
            if number:
                assert one.read("k") in values
            else:
                other.put("k", value)

    in_threads(work, 3)
    assert stream.read() == values[0]


def test_missing_payload_is_damage(keep: Keep) -> None:
    """What others have removed is not waited for."""
    client = MemoryStore()
    store = keep(ObjectStore(client))
    store.put("k", bytes(LARGE))
    obstore.delete(client, [name for name in names_in(client) if name.startswith("large/")])

    with pytest.raises(CorruptValueError, match="missing"):
        store.get("k")
    store.put("k", b"1")
    assert store.read("k") == b"1"


# ---- others


@pytest.fixture
def pair(keep: Keep) -> tuple[ObjectStore, ObjectStore]:
    """Two handles of a store."""
    client = MemoryStore()
    return keep(ObjectStore(client)), keep(ObjectStore(client))


def test_others_are_seen(pair: tuple[ObjectStore, ObjectStore]) -> None:
    """What another handle has done is there at once, whatever this one has in mind."""
    one, other = pair
    one.put("a", b"1")
    other.put("b", b"2")
    assert list(one.scan()) == ["a", "b"]
    other.put("a", b"3", meta='{"x":1}')
    other.delete("b")

    assert one.put("b", b"4", only_if=ABSENT) is not None
    assert one.stat("a").meta == '{"x":1}'
    assert one.delete("a") is True
    assert other.count() == 1
    assert other.delete("a") is False


def test_same_value_is_another_version(pair: tuple[ObjectStore, ObjectStore]) -> None:
    """A change is refused by who has seen a version before the last, though all bytes are as they were."""
    one, other = pair
    seen = one.put("k", b"1")
    other.put("k", b"2")
    other.put("k", b"1")

    assert one.put("k", b"3", only_if=seen) is None
    assert one.amend("k", expires=9e9, only_if=seen) is None
    assert one.delete("k", only_if=seen) is False
    other.delete("k")
    other.put("k", b"1")
    assert one.put("k", b"3", only_if=seen) is None


def test_transactions_meet_others(pair: tuple[ObjectStore, ObjectStore]) -> None:
    """What was read is as it was when all is changed, or nothing is."""
    d, other = (StoreDict(store) for store in pair)
    d.update(a=1, b=2, c=3)

    def change(key: str) -> None:
        with d.transaction():
            assert d.get_many(["a", "c"]) == {"a": 1, "c": 3}
            d["b"] = 5
            d["new"] = 5
            other[key] = 1

    for key in "ac":
        with pytest.raises(ConflictError, match=repr(key)):
            change(key)
        other.update(a=1, c=3)
    assert d == {"a": 1, "b": 2, "c": 3}
    change("b")
    assert other == {"a": 1, "b": 5, "c": 3, "new": 5}


# ---- removals


def grave(client: Any, key: str, seconds: float) -> None:
    obstore.put(client, f"data/{key}", joined(Line(1, grave=seconds)))


def test_a_removal_under_way_is_waited_for(ticking: Ticking, keep: Keep) -> None:
    """Nothing is made of a key whose object is to be removed, until it has been."""
    client = MemoryStore()
    store = keep(ObjectStore(client, monotonic=ticking, sleep=ticking.sleep))
    grave(client, "k", 100)
    assert (store.get("k"), store.contains("k"), store.count(), store.delete("other")) == (None, False, 0, False)
    ticking.then = lambda: ticking.now < 10 or obstore.delete(client, "data/k")

    assert store.put("k", b"1", only_if=ABSENT) is not None
    assert 10 <= ticking.now < 20
    assert store.read("k") == b"1"


def test_a_removal_that_was_broken_off_is_waited_for_its_time(ticking: Ticking, keep: Keep) -> None:
    """After that nobody can be at work on it any more."""
    client = MemoryStore()
    store = keep(ObjectStore(client, monotonic=ticking, sleep=ticking.sleep))
    grave(client, "k", 100)
    store.put("k", b"1")

    assert 100 <= ticking.now < 102
    assert store.read("k") == b"1"


def test_a_removal_that_is_late_is_left(keep: Keep) -> None:
    """Who has been held up does not remove what may be another's by now."""
    client = MemoryStore()
    steps = count(0.0, 2.0)
    store = keep(ObjectStore(client, removal=8, monotonic=lambda: next(steps)))
    store.put("k", b"1")

    assert store.delete("k") is True
    assert store.contains("k") is False
    assert "data/k" in names_in(client)


def test_old_graves_are_swept(keep: Keep, url: str, service: Service) -> None:
    """Those of an hour ago, and not those of just now."""
    service.objects["data/old"] = service.objects["data/new"] = Object(joined(Line(1, grave=100)), {})
    service.ages["data/old"] = 3_700
    store = keep(open_store(url))
    store.sweep()

    assert [name for name in service.objects if name.startswith("data/")] == ["data/new"]


# ---- several keys as one


def cut(url: str, keep: Keep, ticking: Ticking) -> ObjectStore:
    """Return a store that does not wait in earnest."""
    given = parsed(url)
    return keep(ObjectStore(client_of(given), monotonic=ticking, sleep=ticking.sleep))


def test_all_or_nothing_wherever_it_ends(url: str, service: Service, keep: Keep, ticking: Ticking) -> None:
    """A client that is gone after any number of requests leaves all or nothing, and others go on from there."""
    outcomes = []
    for left in count():
        service.left = None
        service.objects.clear()
        d: Any = StoreDict(cut(url, keep, ticking))
        d.update(a=1, b=2)
        other: Any = StoreDict(cut(url, keep, ticking))
        service.left = left
        try:
            with d.transaction():
                d["a"] = 10
                del d["b"]
                d["c"] = 30
            outcomes.append("done")
        except PermissionError:
            outcomes.append("refused")
        ended = service.left > 0
        service.left = None

        found = dict(other)
        assert found == ({"a": 10, "c": 30} if outcomes[-1] == "done" else {"a": 1, "b": 2})
        assert other.get_many("abc") == found
        assert other.increment("a") == found["a"] + 1
        other["b"] = other["c"] = 7
        assert dict(other) == {"a": found["a"] + 1, "b": 7, "c": 7}
        other.cleanup_expired()
        assert [name for name in service.objects if name.startswith("changes/") and outcomes[-1] == "done"] == []
        if ended:
            break
    assert outcomes.index("done") > 3
    assert sorted(outcomes, reverse=True) == outcomes


def test_who_reads_meanwhile_sees_nothing(keep: Keep, service: Service, url: str, ticking: Ticking) -> None:
    """What is on its way is not there yet, for any question; and is waited for by who writes, before it is ended."""
    d: Any = StoreDict(cut(url, keep, ticking))
    other: Any = StoreDict(cut(url, keep, ticking))
    d.update(a=1, b=2)
    service.asked.clear()
    service.left = 3  # all keys are on their way
    with pytest.raises(PermissionError), d.transaction():
        d["a"] = 10
        d.expect("x", version=None)
        del d["b"]
    service.left = None
    under_way = [name for name, one in service.objects.items() if b'"change"' in one.body]

    assert sorted(under_way) == ["data/a", "data/b", "data/x"]
    assert other == {"a": 1, "b": 2}
    assert (other.get("x"), "x" in other, other.info("a").size, len(other)) == (None, False, 1, 2)
    assert ticking.now == 0
    other["a"] = 5
    assert 5 <= ticking.now < 6
    assert other == {"a": 5, "b": 2}


def test_threads_of_two_handles_move_between_accounts(pair: tuple[ObjectStore, ObjectStore]) -> None:
    """Transactions that want the same keys, in whatever order, all come through."""
    dicts: list[Any] = [StoreDict(store) for store in pair]
    dicts[0].update(a=100, b=100, c=100)

    def work(number: int) -> None:
        d = dicts[number % 2]
        for turn in range(10):
            source, target = ("abc"[(number + turn) % 3], "abc"[(number + 2 * turn + 1) % 3])
            while True:
                try:
                    with d.transaction():
                        d.increment(source, -1)
                        d.increment(target, 1)
                    break
                except ConflictError:
                    pass

    in_threads(work, 6)
    assert sum(dicts[0].values()) == 300


def test_what_others_left_is_swept(keep: Keep, service: Service, url: str, ticking: Ticking) -> None:
    """A change that was made, and whose client is gone before the keys are what they are now."""
    d: Any = StoreDict(cut(url, keep, ticking))
    d.update(a=1, b=2)
    service.left = 3
    with d.transaction():
        d["a"] = 10
        del d["b"]
    service.left = None
    assert [name for name in service.objects if name.startswith("changes/")]
    other: Any = StoreDict(cut(url, keep, ticking))
    other.cleanup_expired()

    assert sorted(service.objects) == ["data/a", "diskdict.json"]
    assert other == {"a": 10}


# ---- what services understand

REFUSED: list[Callable[[Any], object]] = [
    lambda d: d.increment("n"),
    lambda d: d.append("s", "x"),
    lambda d: d.create("new", 1),
    lambda d: d.compare_and_swap("n", 2, 3),
    lambda d: d.setdefault("new", 1),
    lambda d: d.rename("n", "m"),
    lambda d: d.expire("n", 5),
    lambda d: d.set_metadata("n", {"a": 1}),
    lambda d: d.pop("n"),
]


@pytest.mark.parametrize("ignores", [{"If-Match"}, {"If-None-Match"}, {"If-Match", "If-None-Match"}])
def test_service_without_conditions(url: str, service: Service, keep: Keep, ignores: set[str]) -> None:
    """It is found out, and what could lose a change is refused by name; all else goes on."""
    service.ignores = ignores
    d: Any = keep(open_dict(url))
    d["n"] = 1
    d["n"] = 2
    d.update(a=1, b=2)
    for refused in REFUSED:
        with pytest.raises(OSError, match="ignores the conditions") as caught:
            refused(d)
        assert caught.value.errno == errno.EOPNOTSUPP
    with pytest.raises(OSError, match="ignores the conditions"), d.transaction():
        d["a"] = d["b"] = 5

    assert d == {"n": 2, "a": 1, "b": 2}
    assert d.delete_many(["a", "x"]) == {"a": True, "x": False}
    d.set("gone", 1, ttl=0)
    assert d.cleanup_expired() == 0
    d.clear()
    assert d == {}


@pytest.mark.parametrize("quoted", [True, False])
def test_service_with_its_own_form_of_etags(url: str, service: Service, keep: Keep, quoted: bool) -> None:
    """Some want them in quotes, some without."""
    service.quoted = quoted
    d: Any = keep(open_dict(url))
    d["n"] = 1

    assert d.increment("n") == 2
    assert [name for name in service.objects if name.startswith("probe/")] == []


def test_folder_of_obstore(keep: Keep, tmp_path) -> None:
    """It has neither conditions nor metadata, and no order of names."""
    d: Any = StoreDict(keep(over_client(LocalStore(tmp_path), codec="json", clock=Clock())))
    for key in ("b", "a/1", "a/2", "ab"):
        d.set(key, key, metadata={"of": key})

    assert d == {"b": "b", "a/1": "a/1", "a/2": "a/2", "ab": "ab"}
    assert d.info("a/1").metadata == {"of": "a/1"}
    assert list(d._store.scan("a/")) == ["a/1", "a/2"]
    with pytest.raises(OSError, match="ignores the conditions"):
        d.increment("n")


def test_listing_begins_where_it_has_to(url: str, service: Service, keep: Keep) -> None:
    """Each object is asked about once, and only what can have the prefix."""
    store = keep(open_store(url))
    store.put_many({f"{letter}/{number}": b"1" for letter in "abc" for number in range(5)})
    other = keep(open_store(url))
    service.asked.clear()
    assert list(other.scan("b/")) == [f"b/{number}" for number in range(5)]
    heads = sorted(line for line in service.asked if line.startswith("HEAD"))
    assert heads == [f"HEAD data/b%2F{number}" for number in range(5)]
    store.put("b/3", b"2")
    service.asked.clear()
    assert len(list(other.scan("b/"))) == 5

    assert [line for line in service.asked if line.startswith("HEAD")] == ["HEAD data/b%2F3"]


def test_requests_of_a_key(url: str, service: Service, keep: Keep) -> None:
    """What the documentation says that each costs."""
    store = keep(open_store(url))
    store.put("first", b"1")

    def asked(use: Callable[[], object]) -> list[str]:
        service.asked.clear()
        use()
        return [line.split()[0] for line in service.asked]

    assert asked(lambda: store.put("k", b"1")) == ["HEAD", "PUT"]
    assert asked(lambda: store.put("k", b"2")) == ["PUT"]
    assert asked(lambda: store.get("k")) == ["GET"]
    assert asked(lambda: store.put("k", b"3", only_if=store.stat("k").version)) == ["HEAD", "PUT"]
    assert asked(lambda: store.contains("k")) == ["HEAD"]
    assert asked(lambda: store.delete("k")) == ["PUT", "DELETE"]
    assert len(asked(lambda: store.put_many({f"k{number}": b"1" for number in range(10)}))) == 10 * 3 + 2


# ---- errors


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials(url: str, service: Service, keep: Keep, status: int) -> None:
    """PermissionError, by reading and by writing."""
    service.refuses = status
    store = keep(open_store(url))
    for use in (lambda: store.get("k"), lambda: store.put("k", b"1"), store.count):
        with pytest.raises(PermissionError, match="s3://bucket"):
            use()


def test_nobody_listens(keep: Keep) -> None:
    """ConnectionError, and it names where."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        store = keep(open_store(f"s3://b?region=r&timeout=0.2&endpoint=http://127.0.0.1:{port}"))
        with pytest.raises(ConnectionError, match=str(port)):
            store.get("k")


def test_no_answer_in_time(url: str, service: Service, keep: Keep) -> None:
    """TimeoutError."""
    service.silent.set()
    store = keep(open_store(url.replace("timeout=5", "timeout=0.1")))
    with pytest.raises(TimeoutError, match="s3://bucket"):
        store.get("k")


@pytest.mark.parametrize("kind", [kind for kind in vars(exceptions).values() if isinstance(kind, type)])
def test_errors_of_obstore(kind: type[Exception]) -> None:
    """Each exception there is becomes one of Python, with the server and what it came from."""
    with pytest.raises((OSError, ValueError, *LOST)) as caught, translating("s3://b"):
        raise kind("failed")

    if not isinstance(caught.value, LOST):
        assert "s3://b" in str(caught.value)
        assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.get_many(["a", "b"]),
        lambda store: store.put_many({"a": b"1", "b": b"2"}),
        lambda store: store.delete_many(["a", "b"]),
    ],
)
def test_closed_store_starts_no_threads(keep: Keep, use: Callable[[ObjectStore], object]) -> None:
    """What would need them says so."""
    store = keep(ObjectStore(MemoryStore()))
    store.put_many({"a": b"1", "b": b"2"})
    store.close()
    before = threading.active_count()
    with pytest.raises(ClosedError):
        use(store)

    assert threading.active_count() == before


def test_forked_child_is_told(keep: Keep) -> None:
    """It would wait for threads that it has not."""
    code = """
import os
from obstore.store import MemoryStore
from diskdict import ClosedError
from diskdict.backends.objects import ObjectStore
store = ObjectStore(MemoryStore())
store.put("k", b"1")
if child := os.fork():
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
for one in (store, ObjectStore(MemoryStore())):
    try:
        one.get("k")
        os._exit(1)
    except ClosedError:
        pass
os._exit(7)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=60, check=False)

    assert done.returncode == 7


# ---- KVStore


def test_backends_of_kvstore(url: str, service: Service) -> None:
    """By name and settings, and a missing or unknown one is named."""
    given = parsed(url)
    config = {"bucket": given.bucket, "prefix": "a/b", "region": "r", "endpoint": given.endpoint}
    with KVStore("s3", config).sync as store:
        store.set("app.x", 1)

    assert "a/b/data/app.x" in service.objects
    assert address_of("gcs", {"bucket": "b", "prefix": "p"}).url == "gs://b?prefix=p"
    assert address_of("azure", {"bucket": "c", "account": "me"}).url == "az://c?account=me"
    with pytest.raises(ValueError, match="'bucket'"):
        KVStore("s3", {"region": "r"})
    with pytest.raises(ValueError, match="'region'"):
        KVStore("gcs", {"bucket": "b", "region": "r"})

"""What every `Store` does: `StoreContract`, to be run over each backend.

A backend's test overrides the fixture `make_store`, which gives a function of a clock and of the options ``limits`` and
``lock`` that makes an empty store.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from zlib import crc32

import pytest

from diskdict.errors import ClosedError, CorruptValueError, LimitError
from diskdict.limits import Limits
from diskdict.store import ABSENT, NEVER, Record, Store
from diskdict.uploads import upload_to

THREADS = 8
MakeStore = Callable[..., Store]


def in_threads(work: Callable[[int], object], count: int = THREADS) -> list[Any]:
    """Run `work` with 0, 1, … in as many threads, started at once, and return their results."""
    barrier = threading.Barrier(count)
    results: list[Any] = [None] * count
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait()
            results[number] = work(number)
        except BaseException as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    if errors:
        raise errors[0]
    return results


class CountingLock:
    """A lock that is not re-entrant, and knows how often it was taken and whether it is held."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.taken = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        done = self._lock.acquire(blocking, timeout)
        self.taken += done
        return done

    def release(self) -> None:
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()


class StoreContract:
    """Every promise of the Store ABC."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        raise NotImplementedError

    @pytest.fixture
    def store(self, make_store: MakeStore, clock) -> Iterator[Store]:
        store = make_store(clock)
        yield store
        store.close()

    # ---- one record

    def test_missing_key_is_none_everywhere(self, store: Store) -> None:
        """A key that was never put is absent for every question."""
        assert store.get("k") is None
        assert store.stat("k") is None
        assert store.read("k") is None
        assert store.open("k") is None
        assert store.contains("k") is False
        assert store.delete("k") is False
        assert store.amend("k", expires=NEVER) is None
        assert store.count() == 0
        assert list(store.scan()) == []

    def test_put_then_get(self, store: Store, clock) -> None:
        """A record has the payload and attributes that were put, and the times of the clock."""
        version = store.put("k", b"value", expires=clock.now + 5, meta='{"a":1}')

        record = store.get("k")
        assert isinstance(record, Record)
        assert (record.payload, record.expires, record.meta) == (b"value", clock.now + 5, '{"a":1}')
        assert record.version == version
        assert record.created == pytest.approx(clock.now, abs=1e-3)

    def test_put_without_options(self, store: Store) -> None:
        """A plain record never expires and has neither metadata nor a spelling."""
        store.put("k", b"value")

        record = store.get("k")
        assert record is not None
        assert (record.expires, record.meta, record.spelling) == (NEVER, None, None)

    def test_stat_is_the_record_without_its_payload(self, store: Store, clock) -> None:
        """Size and checksum stand for the payload; everything else is as in the record."""
        store.put("k", b"value", expires=clock.now + 5, meta='{"a":1}')

        record, stat = store.get("k"), store.stat("k")
        assert record is not None
        assert stat is not None
        assert (stat.size, stat.checksum) == (5, crc32(b"value"))
        assert stat[2:] == record[1:]

    def test_read_gives_the_payload(self, store: Store) -> None:
        """`read` is `get` for those who need the payload only."""
        store.put("k", b"value")

        assert store.read("k") == b"value"
        assert store.contains("k") is True
        assert store.count() == 1

    def test_stream_keeps_what_it_was_opened_on(self, store: Store) -> None:
        """A put does not change what an open stream gives."""
        store.put("k", b"old value")
        stream = store.open("k")
        assert stream is not None
        with stream:
            start = stream.read(3)
            store.put("k", b"new")

            assert start + stream.read() == b"old value"

    def test_any_text_is_a_key(self, store: Store) -> None:
        """Texts are kept apart and given back whatever they are made of."""
        keys = [
            "",
            " ",
            "a/b",
            "..",
            ".",
            "A",
            "a",
            "\0",
            "é",
            "e\u0301",
            "\ud800",
            "\n",
            "k" * 3000,
            "CON",
            "=i1",
            "%2F",
        ]
        for number, key in enumerate(keys):
            store.put(key, b"%d" % number)

        assert list(store.scan()) == keys
        assert [store.read(key) for key in keys] == [b"%d" % number for number in range(len(keys))]

    def test_delete_removes(self, store: Store) -> None:
        """A deleted key is absent, and deleting says whether there was something."""
        store.put("k", b"value")

        assert store.delete("k") is True
        assert store.get("k") is None
        assert store.delete("k") is False

    # ---- order, versions, times, spelling

    def test_overwrite_keeps_place_and_creation(self, store: Store, clock) -> None:
        """A put over a live record keeps order, creation time and place in iteration, and takes all else anew."""
        store.put("a", b"1", meta='{"a":1}', expires=clock.now + 50)
        store.put("b", b"2")
        before = store.get("a")
        clock.tick(10)
        store.put("a", b"3")

        after = store.get("a")
        assert before is not None
        assert after is not None
        assert (after.order, after.created) == (before.order, before.created)
        assert (after.payload, after.meta, after.expires) == (b"3", None, NEVER)
        assert list(store.scan()) == ["a", "b"]

    def test_reinserted_key_goes_last(self, store: Store, clock) -> None:
        """Delete and put make a new record, created now."""
        store.put("a", b"1")
        store.put("b", b"2")
        clock.tick(10)
        store.delete("a")
        store.put("a", b"3")

        record = store.get("a")
        assert record is not None
        assert record.created == pytest.approx(clock.now, abs=1e-3)
        assert list(store.scan()) == ["b", "a"]

    def test_created_may_be_given(self, store: Store, clock) -> None:
        """A new record can carry the creation time of where it came from; a live one keeps its own."""
        store.put("k", b"1", created=1000.5)
        store.put("k", b"2", created=2000.5)

        record = store.get("k")
        assert record is not None
        assert record.created == 1000.5

    def test_versions_increase_strictly(self, store: Store, clock) -> None:
        """Every change of any key takes a number that was never used, in the order of the changes."""
        versions = [store.put("a", b"1"), store.put("b", b"1"), store.put("a", b"2")]
        versions.append(store.amend("a", expires=clock.now + 5))
        store.delete("a")
        versions.append(store.put("a", b"3"))
        store.rename("a", "c")
        record = store.get("c")
        assert record is not None
        versions.append(record.version)

        assert None not in versions
        assert versions == sorted(set(versions))

    def test_order_follows_insertion(self, store: Store) -> None:
        """The order in a record is the place in a scan."""
        for key in "cab":
            store.put(key, b"x")
        store.put("c", b"y")

        records = [store.get(key) for key in store.scan()]
        orders = [record.order for record in records if record is not None]
        assert list(store.scan()) == ["c", "a", "b"]
        assert orders == sorted(set(orders))

    def test_first_spelling_is_kept(self, store: Store) -> None:
        """A key keeps the form in which it was first given until it is deleted."""
        store.put("=i1", b"x", spelling="=T")
        store.put("=i1", b"y", spelling="=f1.0")
        store.put("=i2", b"x")
        store.put("=i2", b"x", spelling="=f2.0")

        record = store.get("=i1")
        assert record is not None
        assert record.spelling == "=T"
        assert (store.spelling("=i1"), store.spelling("=i2"), store.spelling("=i3")) == ("=T", "=i2", "=i3")

    def test_spelling_goes_with_the_record(self, store: Store) -> None:
        """After a delete the next spelling counts."""
        store.put("=i1", b"x", spelling="=T")
        store.delete("=i1")
        store.put("=i1", b"x")

        assert store.spelling("=i1") == "=i1"

    # ---- conditions

    def test_put_if_absent(self, store: Store) -> None:
        """ABSENT writes only where no live record is."""
        first = store.put("k", b"1", only_if=ABSENT)
        second = store.put("k", b"2", only_if=ABSENT)

        assert first is not None
        assert second is None
        assert store.read("k") == b"1"

    def test_put_if_version(self, store: Store) -> None:
        """A version writes only over just that version."""
        version = store.put("k", b"1")
        done = store.put("k", b"2", only_if=version)
        late = store.put("k", b"3", only_if=version)

        assert done is not None
        assert late is None
        assert store.read("k") == b"2"

    def test_put_if_version_of_a_missing_key(self, store: Store) -> None:
        """No version is there where no record is."""
        version = store.put("k", b"1")
        store.delete("k")

        assert store.put("k", b"2", only_if=version) is None
        assert not store.contains("k")

    upload_size = 3
    """Bytes from which a store has a way of its own with uploads."""

    def test_an_upload_is_a_put(self, store: Store, clock) -> None:
        """With what belongs to the record; a condition that does not hold leaves what is there."""
        one, two = b"1" * self.upload_size, b"2" * self.upload_size

        def sent(payload: bytes, **terms: Any) -> int | None:
            upload = upload_to(store)
            upload.write(payload[:1])
            upload.write(memoryview(payload)[1:])
            try:
                return upload.finish("a", **terms)
            finally:
                upload.discard()

        first = sent(one, expires=clock.now + 9, meta='{"n":1}', created=1_000.5, only_if=ABSENT)
        record = store.get("a")

        assert record is not None
        assert record.version == first
        assert (record.payload, record.created, record.meta) == (one, 1_000.5, '{"n":1}')
        assert record.expires == pytest.approx(clock.now + 9, abs=0.001)
        assert sent(two, only_if=ABSENT) is None
        assert sent(two, only_if=record.version + 1) is None
        assert store.get("a") == record
        assert sent(two, created=2_000.5, only_if=record.version) is not None
        changed = store.get("a")
        assert changed is not None
        assert (changed.payload, changed.order, changed.created) == (two, record.order, record.created)
        assert (changed.expires, changed.meta) == (NEVER, None)

    def test_delete_if_version(self, store: Store) -> None:
        """A delete can be bound to a version as well."""
        old = store.put("k", b"1")
        new = store.put("k", b"2")

        assert store.delete("k", only_if=old) is False
        assert store.read("k") == b"2"
        assert store.delete("k", only_if=new) is True
        assert store.delete("k", only_if=new) is False

    # ---- amend

    def test_amend_expiry(self, store: Store, clock) -> None:
        """Expiry changes and nothing else but the version."""
        store.put("k", b"1", meta='{"a":1}')
        before = store.get("k")
        version = store.amend("k", expires=clock.now + 5)

        after = store.get("k")
        assert before is not None
        assert after is not None
        assert after.version == version != before.version
        assert after == before._replace(expires=clock.now + 5, version=after.version)

    def test_amend_metadata(self, store: Store, clock) -> None:
        """Metadata changes alone, and an empty text removes it."""
        store.put("k", b"1", expires=clock.now + 5)
        store.amend("k", meta='{"a":1}')
        amended = store.get("k")
        store.amend("k", meta="")
        emptied = store.get("k")

        assert amended is not None
        assert emptied is not None
        assert (amended.meta, amended.expires, amended.payload) == ('{"a":1}', clock.now + 5, b"1")
        assert (emptied.meta, emptied.expires) == (None, clock.now + 5)

    def test_amend_if_version(self, store: Store) -> None:
        """An amendment can be bound to a version as well."""
        old = store.put("k", b"1")
        new = store.amend("k", meta='{"a":1}', only_if=old)
        late = store.amend("k", meta='{"a":2}', only_if=old)

        record = store.get("k")
        assert record is not None
        assert (record.version, late) == (new, None)
        assert record.meta == '{"a":1}'
        assert store.amend("missing", meta='{"a":1}', only_if=old) is None

    def test_amend_to_never(self, store: Store, clock) -> None:
        """NEVER takes the expiry away."""
        store.put("k", b"1", expires=clock.now + 5)
        store.amend("k", expires=NEVER)
        clock.tick(100)

        assert store.read("k") == b"1"

    def test_long_metadata(self, store: Store) -> None:
        """Metadata may be longer than a filesystem keeps in an attribute."""
        text = '{"a":"' + "é" * 40_000 + '"}'
        store.put("k", b"1", meta=text)

        record = store.get("k")
        assert record is not None
        assert record.meta == text

    # ---- expiry

    def test_expired_exactly_at_its_time(self, store: Store, clock) -> None:
        """A record lives until just before its expiry."""
        expires = clock.now + 5
        store.put("k", b"1", expires=expires)
        clock.now = expires - 0.01
        alive = store.read("k")
        clock.now = expires

        assert alive == b"1"
        assert store.read("k") is None

    def test_expired_is_absent_everywhere(self, store: Store, clock) -> None:
        """What has expired is as if it were not there."""
        version = store.put("k", b"1", expires=clock.now + 5, meta="{}", spelling=None)
        clock.tick(5)

        assert store.get("k") is None
        assert store.stat("k") is None
        assert store.open("k") is None
        assert store.contains("k") is False
        assert store.count() == 0
        assert list(store.scan()) == []
        assert store.get_many(["k"]) == {}
        assert store.amend("k", expires=NEVER) is None
        assert store.put("k", b"2", only_if=version) is None
        assert store.rename("k", "other") is None
        assert store.delete("k") is False

    def test_put_over_an_expired_record_makes_a_new_one(self, store: Store, clock) -> None:
        """Nothing of an expired record comes back: neither its place nor its creation."""
        store.put("a", b"1", expires=clock.now + 5, meta='{"a":1}')
        store.put("b", b"2")
        clock.tick(5)
        done = store.put("a", b"3", only_if=ABSENT)

        record = store.get("a")
        assert done is not None
        assert record is not None
        assert record.created == pytest.approx(clock.now, abs=1e-3)
        assert record.meta is None
        assert list(store.scan()) == ["b", "a"]

    def test_reads_remove_nothing(self, store: Store, clock) -> None:
        """A clock that goes back makes a record live again that was only looked at."""
        store.put("k", b"1", expires=clock.now + 5)
        clock.tick(5)
        gone = store.get("k"), store.contains("k"), store.count(), list(store.scan())
        clock.tick(-1)

        assert gone == (None, False, 0, [])
        assert store.read("k") == b"1"
        assert store.count() == 1

    def test_sweep_removes_expired(self, store: Store, clock) -> None:
        """Sweeping removes what has expired, and says how much."""
        for number in range(5):
            store.put(f"k{number}", b"1", expires=clock.now + 5)
        store.put("stays", b"1", expires=clock.now + 50)
        clock.tick(5)

        assert store.sweep() == 5
        assert store.sweep() == 0
        assert list(store.scan()) == ["stays"]

    def test_sweep_has_a_limit(self, store: Store, clock) -> None:
        """A limit is the most that is removed."""
        for number in range(5):
            store.put(f"k{number}", b"1", expires=clock.now + 5)
        clock.tick(5)

        assert store.sweep(2) == 2
        assert store.sweep(0) == 0
        assert store.sweep(10) == 3

    def test_a_write_removes_at_most_two(self, store: Store, clock) -> None:
        """Writers clean up a little, whoever they are."""
        for number in range(7):
            store.put(f"k{number}", b"1", expires=clock.now + 5)
        assert store.count() == 7
        clock.tick(5)
        store.put("new", b"1")
        store.delete("new")

        assert store.sweep() >= 3

    def test_clock_is_read_once_by_a_scan(self, store: Store, clock) -> None:
        """What lived when a scan began is given, unless it was removed."""
        store.put("a", b"1")
        store.put("b", b"2", expires=clock.now + 5)
        keys = store.scan()
        first = next(keys)
        clock.tick(5)

        assert [first, *keys] == ["a", "b"]

    # ---- scan

    def test_scan_in_both_directions(self, store: Store) -> None:
        """The order of insertion, and its reverse."""
        for key in "cab":
            store.put(key, b"x")

        assert list(store.scan()) == ["c", "a", "b"]
        assert list(store.scan(reverse=True)) == ["b", "a", "c"]

    def test_scan_by_prefix(self, store: Store) -> None:
        """Only keys that begin with the prefix, in order."""
        for key in ("user/2", "users", "user/1", "User/3", "user/"):
            store.put(key, b"x")

        assert list(store.scan("user/")) == ["user/2", "user/1", "user/"]
        assert list(store.scan("user/", reverse=True)) == ["user/", "user/1", "user/2"]
        assert list(store.scan("nobody")) == []

    @pytest.mark.parametrize(
        "change",
        [lambda store: store.put("new", b"1"), lambda store: store.delete("b")],
        ids=["put", "delete"],
    )
    @pytest.mark.parametrize("reverse", [False, True])
    def test_scan_ends_when_keys_change(self, store: Store, change: Callable[[Store], object], reverse: bool) -> None:
        """A key added or removed is a RuntimeError at the next step, as with dict."""
        for key in "abc"[:2]:
            store.put(key, b"x")
        keys = store.scan(reverse=reverse)
        next(keys)
        change(store)

        with pytest.raises(RuntimeError, match="changed size during iteration"):
            next(keys)

    def test_scan_ends_when_keys_changed_before_its_first_step(self, store: Store) -> None:
        """A scan begins when it is asked for, not when it is first used."""
        store.put("a", b"x")
        keys = store.scan()
        store.put("b", b"x")

        with pytest.raises(RuntimeError):
            next(keys)

    def test_scan_ends_when_keys_changed_at_its_last_step(self, store: Store) -> None:
        """There is no last step at which a change goes unseen."""
        store.put("a", b"x")
        keys = store.scan()
        next(keys)
        store.delete("a")

        with pytest.raises(RuntimeError):
            next(keys)

    def test_scans_begun_between_sweeps_all_end_when_keys_change(self, store: Store, clock) -> None:
        """However many keys expired and were removed since each began, a change of number ends them all."""
        for number in range(6):
            store.put(f"k{number}", b"x", expires=clock.now + 1 + number)
        store.put("last", b"x")
        store.put("very last", b"x")
        scans = []
        for _ in range(3):
            scans.append(store.scan())
            clock.tick(1)
            store.sweep()
        seen = [next(scan) for scan in scans]

        store.put("new", b"x")
        assert seen == ["k3"] * 3
        for scan in scans:
            with pytest.raises(RuntimeError, match="changed size"):
                next(scan)

    def test_scan_bears_overwrites(self, store: Store, clock) -> None:
        """New values for the same keys do not disturb."""
        for key in "abc":
            store.put(key, b"x")

        seen = []
        for key in store.scan():
            store.put(key, b"y")
            store.amend(key, meta='{"a":1}')
            seen.append(key)
        assert seen == ["a", "b", "c"]

    def test_scan_bears_expiry_and_sweeping(self, store: Store, clock) -> None:
        """Time never changes the size of a store, nor does the removal of what it has taken."""
        for key in "abcde":
            store.put(key, b"x", expires=NEVER if key in "ae" else clock.now + 5)
        keys = store.scan()
        seen = [next(keys)]
        clock.tick(5)
        store.put("a", b"y")
        store.sweep()
        seen += keys

        assert seen[0] == "a"
        assert seen[-1] == "e"
        assert set(seen) <= set("abcde")

    # ---- many, rename

    def test_get_many_gives_what_is_there(self, store: Store) -> None:
        """Missing keys are left out."""
        store.put("a", b"1")
        store.put("b", b"2")

        found = store.get_many(["b", "missing", "a"])
        assert {key: record.payload for key, record in found.items()} == {"a": b"1", "b": b"2"}

    def test_put_many(self, store: Store, clock) -> None:
        """Each payload is put, in order, with the one expiry."""
        store.put("b", b"old", meta='{"a":1}')
        store.put_many({"a": b"1", "b": b"2", "c": b"3"}, expires=clock.now + 5)
        record = store.get("b")
        keys = list(store.scan())
        clock.tick(5)

        assert keys == ["b", "a", "c"]
        assert record is not None
        assert (record.payload, record.meta, record.expires) == (b"2", None, clock.now)
        assert store.count() == 0

    def test_delete_many_says_what_was_there(self, store: Store) -> None:
        """Each key is told about."""
        store.put("a", b"1")
        store.put("b", b"2")

        assert store.delete_many(["a", "missing"]) == {"a": True, "missing": False}
        assert list(store.scan()) == ["b"]

    def test_rename_moves(self, store: Store, clock) -> None:
        """All is kept but the place, the version and the spelling."""
        store.put("a", b"1", expires=clock.now + 50, meta='{"a":1}', created=1000.5)
        store.put("b", b"2")
        old = store.get("a")
        done = store.rename("a", "=i1", spelling="=T")

        new = store.get("=i1")
        assert done is True
        assert old is not None
        assert new is not None
        assert (new.payload, new.created, new.expires, new.meta) == (b"1", 1000.5, clock.now + 50, '{"a":1}')
        assert new.version > old.version
        assert new.spelling == "=T"
        assert store.get("a") is None
        assert list(store.scan()) == ["b", "=i1"]

    def test_rename_of_a_missing_key(self, store: Store) -> None:
        """There is nothing to move, whatever the target is."""
        store.put("b", b"2")

        assert store.rename("a", "b") is None
        assert store.rename("a", "c") is None
        assert store.read("b") == b"2"

    def test_rename_onto_a_live_key(self, store: Store) -> None:
        """The target is never overwritten."""
        store.put("a", b"1")
        store.put("b", b"2")

        assert store.rename("a", "b") is False
        assert (store.read("a"), store.read("b")) == (b"1", b"2")

    def test_rename_onto_an_expired_key(self, store: Store, clock) -> None:
        """An expired target is no target."""
        store.put("b", b"2", expires=clock.now + 5, meta='{"b":1}')
        store.put("a", b"1")
        clock.tick(5)

        assert store.rename("a", "b") is True
        record = store.get("b")
        assert record is not None
        assert (record.payload, record.meta, record.expires) == (b"1", None, NEVER)

    # ---- limits, damage, lock, close

    def test_total_bytes(self, make_store: MakeStore, clock) -> None:
        """What would grow beyond the limit is refused with limit and size, and leaves what was there."""
        store = make_store(clock, limits=Limits(total_bytes=10))
        store.put("a", b"12345")
        store.put("b", b"12345")
        with pytest.raises(LimitError) as caught:
            store.put("a", b"123456")

        assert (caught.value.limit, caught.value.allowed, caught.value.met) == ("total_bytes", 10, 11)
        assert (store.read("a"), store.read("b")) == (b"12345", b"12345")
        with pytest.raises(LimitError):
            store.put("c", b"1")
        assert not store.contains("c")
        store.delete("b")
        store.put("c", b"12345")
        store.close()

    def test_total_bytes_counts_what_is_there(self, make_store: MakeStore, clock) -> None:
        """Overwriting, renaming and deleting leave the sum right."""
        store = make_store(clock, limits=Limits(total_bytes=10))
        for size in (10, 3, 7, 10):
            store.put("a", b"x" * size)
        store.rename("a", "b")
        store.put("b", b"xxxx")
        store.put("c", b"xxxxxx")
        store.delete("b")
        store.delete("c")

        assert store.put("d", b"x" * 10) is not None
        store.close()

    def test_expired_make_room(self, make_store: MakeStore, clock) -> None:
        """Over the limit, the expired go first, and then there is a refusal."""
        store = make_store(clock, limits=Limits(total_bytes=10))
        for number in range(10):
            store.put(f"k{number}", b"x", expires=clock.now + 5)
        clock.tick(5)
        store.put("big", b"x" * 10)

        assert list(store.scan()) == ["big"]
        store.close()

    def test_rejected_payload_is_damage(self, store: Store) -> None:
        """A payload that is no value is reported as damage of its key."""
        store.put("k", b"value")

        with pytest.raises(CorruptValueError, match="no JSON") as caught:
            store.reject("k", b"value", "no JSON")
        assert (caught.value.key, caught.value.detail) == ("k", "no JSON")

    @pytest.mark.parametrize("as_factory", [False, True])
    def test_lock_is_held_around_mutations(self, make_store: MakeStore, clock, as_factory: bool) -> None:
        """The lock that was given is taken by every change, also by those made of several."""
        lock = CountingLock()
        store = make_store(clock, lock=(lambda: lock) if as_factory else lock)
        mutations: list[Callable[[], object]] = [
            lambda: store.put("a", b"1"),
            lambda: store.amend("a", meta="{}"),
            lambda: store.rename("a", "b"),
            lambda: store.delete("b"),
            lambda: store.put_many({"a": b"1", "b": b"2"}),
            lambda: store.delete_many(["a", "b"]),
            store.sweep,
        ]
        counts = []
        for mutate in mutations:
            before = lock.taken
            mutate()
            counts.append(lock.taken - before)
        with store.exclusive():
            held = lock.locked()

        assert all(counts)
        assert held
        assert not lock.locked()
        store.close()

    def test_exclusive_keeps_others_out(self, store: Store) -> None:
        """The own thread joins in, a second one waits."""
        done = threading.Event()
        thread = threading.Thread(target=lambda: (store.put("k", b"theirs"), done.set()))
        with store.exclusive(), store.exclusive():
            thread.start()
            store.put("k", b"mine")
            waited = not done.wait(0.02)
            mine = store.read("k")
        thread.join()

        assert waited
        assert mine == b"mine"
        assert store.read("k") == b"theirs"

    def test_closing_twice_does_nothing(self, store: Store) -> None:
        """Closing is for `finally` blocks and needs no care."""
        store.close()
        store.close()

    def test_closed_store_refuses(self, store: Store) -> None:
        """Every use after the end is a ClosedError."""
        uses: list[Callable[[], object]] = [
            lambda: store.get("k"),
            lambda: store.read("k"),
            lambda: store.stat("k"),
            lambda: store.open("k"),
            lambda: store.contains("k"),
            lambda: store.count(),
            lambda: list(store.scan()),
            lambda: store.put("k", b"1"),
            lambda: store.amend("k", meta="{}"),
            lambda: store.delete("k"),
            lambda: store.rename("k", "l"),
            lambda: store.get_many(["k"]),
            lambda: store.put_many({"k": b"1"}),
            lambda: store.delete_many(["k"]),
            lambda: store.sweep(),
        ]
        store.put("k", b"1")
        store.close()

        for use in uses:
            with pytest.raises(ClosedError):
                use()

    def test_scan_of_a_store_closed_meanwhile(self, store: Store) -> None:
        """An iterator does not outlive its store."""
        store.put("a", b"1")
        store.put("b", b"1")
        keys = store.scan()
        next(keys)
        store.close()

        with pytest.raises((ClosedError, RuntimeError)):
            next(keys)

    # ---- threads

    def test_threads_count_by_version(self, store: Store) -> None:
        """Conditional puts lose no increment."""
        rounds = 8
        store.put("n", b"0")

        def count(_: int) -> None:
            for _ in range(rounds):
                while True:
                    record = store.get("n")
                    assert record is not None
                    if store.put("n", b"%d" % (int(record.payload) + 1), only_if=record.version) is not None:
                        break

        in_threads(count)
        assert store.read("n") == b"%d" % (THREADS * rounds)

    def test_threads_create_once(self, store: Store) -> None:
        """Of all who put where nothing is, one wins."""

        def create(number: int) -> list[int | None]:
            return [store.put(f"k{key}", b"%d" % number, only_if=ABSENT) for key in range(20)]

        results = in_threads(create)
        winners = [[number for number in range(THREADS) if results[number][key] is not None] for key in range(20)]
        assert [len(found) for found in winners] == [1] * 20
        assert [store.read(f"k{key}") for key in range(20)] == [b"%d" % found[0] for found in winners]

    def test_threads_delete_once(self, store: Store) -> None:
        """Of all who delete, one removes."""
        for key in range(20):
            store.put(f"k{key}", b"x")

        results = in_threads(lambda _: [store.delete(f"k{key}") for key in range(20)])
        assert [sum(done) for done in zip(*results, strict=True)] == [1] * 20
        assert store.count() == 0

    def test_threads_rename_once(self, store: Store) -> None:
        """One of all renames takes the record along, whole."""
        store.put("k", b"x")

        results = in_threads(lambda number: store.rename("k", f"k{number}"))
        assert sorted(results, key=str) == [None] * (THREADS - 1) + [True]
        assert list(store.scan()) == [f"k{results.index(True)}"]

    def test_threads_mixing_everything(self, store: Store, clock) -> None:
        """Each thread's own keys are what it left, and the count is exact."""

        def work(number: int) -> None:
            for turn in range(20):
                store.put(f"{number}/{turn}", b"%d" % turn, expires=clock.now + (5 if turn % 2 else 50))
                store.amend(f"{number}/{turn}", meta='{"a":1}')
                if turn % 5 == 0:
                    store.delete(f"{number}/{turn}")

        in_threads(work)
        kept = {f"{number}/{turn}" for number in range(THREADS) for turn in range(20) if turn % 5}
        assert set(store.scan()) == kept
        assert store.count() == len(kept)
        clock.tick(5)
        assert store.count() == len([key for key in kept if int(key.split("/")[1]) % 2 == 0])
        assert store.sweep() == len(kept) - store.count()

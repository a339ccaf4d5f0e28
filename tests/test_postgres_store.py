"""`PostgresStore` keeps the contract of all stores, and the dict over it that of all mappings, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from mapping_contract import Dict, MakeDict, MappingContract
from postgres_server import PostgresServer
from store_contract import MakeStore, StoreContract

from diskdict.backends.postgres.store import PostgresStore
from diskdict.core import StoreDict
from diskdict.store import Store

_tables = count()


@pytest.fixture
def make_store(postgres: PostgresServer) -> Iterator[MakeStore]:
    made: list[Store] = []

    def make(clock: Any, **options: Any) -> Store:
        made.append(PostgresStore(postgres.url(), table=f"store{next(_tables)}", clock=clock, **options))
        return made[-1]

    yield make
    for store in made:
        store.close()


class TestPostgresStore(StoreContract):
    """The contract over a table."""

    @pytest.fixture
    def make_store(self, make_store: MakeStore) -> MakeStore:
        return make_store


@pytest.fixture
def make_dict(make_store: MakeStore, clock: Any) -> Iterator[MakeDict]:
    made: list[Dict] = []

    def make(*, lock: Any = None, limits: Any = None, **options: Any) -> Dict:
        made.append(StoreDict(make_store(clock, lock=lock, limits=limits), limits=limits, **options))
        return made[-1]

    yield make
    for d in made:
        d._values.forget_all()
        d.close()


class TestPostgresDict(MappingContract):
    """The contract over a table."""

    @pytest.fixture
    def make_dict(self, make_dict: MakeDict) -> MakeDict:
        return make_dict

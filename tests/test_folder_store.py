from __future__ import annotations
import pytest
from store_contract import MakeStore, StoreContract
from diskdict.backends.file import FolderStore

class TestKernel(StoreContract):
    @pytest.fixture
    def make_store(self, tmp_path) -> MakeStore:
        n = iter(range(99))
        return lambda clock, **options: FolderStore(str(tmp_path / f"s{next(n)}"), clock=clock, **options)

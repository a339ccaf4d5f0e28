"""CPython's own tests of mappings, run with ``writeback=True``.

Each test that does not pass is listed with its reason; one that is listed and passes fails here, so that the list stays
true. Some distributions ship an interpreter without `test.mapping_tests`; that is said aloud.
"""

from __future__ import annotations

import itertools
import unittest
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from diskdict import DiskDict
from diskdict.backends.memory import MemoryStore
from diskdict.core import StoreDict
from diskdict.errors import InvalidKeyError, InvalidValueError

try:
    from test import mapping_tests
except ImportError:
    mapping_tests = None

NAMES = ("BasicTestMappingProtocol", "TestMappingProtocol", "TestHashMappingProtocol")
CASES: list[type[unittest.TestCase]] = [getattr(mapping_tests, name) for name in NAMES] if mapping_tests else []
TESTS = [
    (case, name) for case in CASES for name in unittest.defaultTestLoader.getTestCaseNames(case) if name in vars(case)
]
"""What a class has from the one before it is the same there."""
MUST_PASS = 31


class Listed(NamedTuple):
    """Why a test does not pass, and what it ends with."""

    reason: str
    error: type[Exception]


SAME_CLASS = Listed("copy() is a plain dict: a second folder would be a surprise", AssertionError)
ANY_KEY = Listed("wants any object as a key", InvalidKeyError)
ANY_VALUE = Listed("wants any object as a value, the mapping itself among them", InvalidValueError)

LISTED = {
    ("TestMappingProtocol", "test_copy"): SAME_CLASS,
    ("TestHashMappingProtocol", "test_eq"): ANY_KEY,
    ("TestHashMappingProtocol", "test_getitem"): ANY_KEY,
    ("TestHashMappingProtocol", "test_pop"): ANY_KEY,
    ("TestHashMappingProtocol", "test_setdefault"): ANY_KEY,
    ("TestHashMappingProtocol", "test_repr"): ANY_VALUE,
    ("TestHashMappingProtocol", "test_repr_deep"): ANY_VALUE,
}


class Made:
    """The mappings that the tests of one class make without arguments; they are closed at the end.

    `make` adapts a class to the constructor of dict; `options` gives the keyword arguments of each mapping.
    """

    def __init__(self, base: type[StoreDict[Any, Any]], options: Callable[[], dict[str, Any]]) -> None:
        self.base = base
        self.options = options
        self.all: list[StoreDict[Any, Any]] = []

    def make(self) -> type[StoreDict[Any, Any]]:
        base, options, made = self.base, self.options, self.all

        class Adapted(base):  # type: ignore[misc, valid-type]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(writeback=True, **options())
                made.append(self)
                self.update(*args, **kwargs)

            @classmethod
            def fromkeys(cls, iterable: Iterable[Any], value: Any = None) -> Any:
                filled = cls()
                for key in iterable:
                    filled[key] = value
                return filled

        return Adapted

    def close(self) -> None:
        for mapping in self.all:
            mapping.close()


def in_memory(folder: Path) -> Made:
    return Made(StoreDict, lambda: {"store": MemoryStore()})


def in_folders(folder: Path) -> Made:
    numbers = itertools.count()
    return Made(DiskDict, lambda: {"path": folder / f"store{next(numbers)}"})


@pytest.fixture(params=[in_memory, in_folders])
def mapping_type(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[type[StoreDict[Any, Any]]]:
    made = request.param(tmp_path)
    yield made.make()
    made.close()


@pytest.mark.no_cover
@pytest.mark.parametrize(("case", "name"), TESTS, ids=[f"{case.__name__}.{name}" for case, name in TESTS])
def test_as_cpython_tests_dict(
    case: type[unittest.TestCase], name: str, mapping_type: type[StoreDict[Any, Any]]
) -> None:
    """Passes, or is listed and ends as the list says."""
    test = type(case.__name__, (case,), {"type2test": mapping_type})(name)
    listed = LISTED.get((case.__name__, name))
    if listed is None:
        getattr(test, name)()
    else:
        with pytest.raises(listed.error):
            getattr(test, name)()


@pytest.mark.filterwarnings("default::pytest.PytestWarning")
def test_enough_of_them_pass() -> None:
    """The list is short and names only tests that there are."""
    if mapping_tests is None:
        missing = "this interpreter has no test.mapping_tests: CPython's tests of mappings were NOT run"
        warnings.warn(pytest.PytestWarning(missing), stacklevel=1)
        pytest.skip(missing)

    assert LISTED.keys() <= {(case.__name__, name) for case, name in TESTS}
    assert len(TESTS) - len(LISTED) >= MUST_PASS

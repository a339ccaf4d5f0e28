"""What `import diskdict` gives is what `__all__` says."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import diskdict
from diskdict import errors


def test_all_equals_the_public_names() -> None:
    """Nothing leaks into the package by accident, nothing is promised that is not there. Ruff holds the order."""
    # First: what takes long to load is there from when it is asked for.
    offered_modules = {name for name in diskdict.__all__ if isinstance(getattr(diskdict, name), ModuleType)}
    public = {name for name, value in vars(diskdict).items() if not name.startswith("_") and not incidental(value)}

    assert set(diskdict.__all__) - {"__version__"} == public | offered_modules


def test_all_names_nothing_twice() -> None:
    """A name is listed once."""
    assert len(diskdict.__all__) == len(set(diskdict.__all__))


def test_every_error_is_public() -> None:
    """Whatever the package raises on purpose can be caught by a name from the front door."""
    raised = {name for name, value in vars(errors).items() if isinstance(value, type) and not name.startswith("_")}

    assert raised <= set(diskdict.__all__)


def incidental(value: object) -> bool:
    """Return whether this is a submodule, the `annotations` of a future import, or what tells type checkers."""
    return isinstance(value, ModuleType) or type(value).__module__ == "__future__" or value is TYPE_CHECKING

"""What is asked for of metadata: fields with their values. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Criteria = Mapping[str, object]
"""Fields that metadata is to have: each with this value, or with a list, tuple or set that has it."""


def fits(metadata: Mapping[str, object], criteria: Criteria) -> bool:
    """Return whether each field is as asked, or is a list or a set that has what is asked."""
    return all(name in metadata and _has(metadata[name], wanted) for name, wanted in criteria.items())


def _has(found: object, wanted: object) -> bool:
    if found == wanted:
        return True
    # A set would have to hash what is wanted.
    return isinstance(found, (list, tuple, set, frozenset)) and any(member == wanted for member in found)


def traces(criteria: Criteria) -> list[str]:
    """Return what the JSON of all metadata that fits has in it, unless it has a backslash: see `may_fit`."""
    return [*criteria, *(wanted for wanted in criteria.values() if type(wanted) is str)]


def may_fit(meta: str, sought: Iterable[str]) -> bool:
    """Return whether the JSON of metadata may fit criteria that leave these `traces`; far quicker than reading it."""
    # A text that stands otherwise than it is stands there with a backslash.
    return all(trace in meta for trace in sought) or "\\" in meta

"""The keys of a namespace among all keys of a store: `Namespace`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from diskdict import keys
from diskdict.errors import InvalidKeyError

NAMESPACED = "=("
"""What the texts of keys in namespaces begin with."""
_END: Final = ",)"
"""What they end with."""
StoreKey = str | tuple[str, str]
"""A key as the store has it: a str as it is, or with its namespace before it."""


class Namespace:
    """Puts keys into a namespace, and takes them out.

    Parameters
    ----------
    name: str, optional
        The namespace, not empty; None for the keys that are in none.
    """

    def __init__(self, name: str | None) -> None:
        if name is not None and (type(name) is not str or not name):
            raise InvalidKeyError(f"a namespace is a str that is not empty, not {name!r}")
        self.name = name

    def key(self, key: str) -> StoreKey:
        """Return the store's key of one."""
        if type(key) is not str:
            raise InvalidKeyError(f"a key is a str, not {key!r}")
        return key if self.name is None else (self.name, key)

    def texts(self, prefix: str) -> str:
        """Return what the texts of all keys that begin with `prefix` begin with."""
        if self.name is None:
            return keys.encode(prefix) if prefix else ""
        return keys.encode((self.name, prefix))[: -len(_END)]

    def shape(self, pieces: Sequence[str]) -> list[str]:
        """Return the pieces of the texts of all keys that have these pieces."""
        first, *others = pieces
        if self.name is None:
            return [self.texts(first), *others]
        inside = [self.texts(first), *map(keys.escaped, others)]
        return [*inside[:-1], inside[-1] + _END]

    def among(self, texts: Iterable[str]) -> Iterator[str]:
        """Yield the keys of this namespace that have one of these texts."""
        for text in texts:
            key = keys.decode(text) if text[:1] == "=" else text
            if self.name is None:
                if isinstance(key, str):
                    yield key
            elif isinstance(key, tuple) and len(key) == 2 and key[0] == self.name and isinstance(key[1], str):
                yield key[1]


def namespaces(texts: Iterable[str]) -> list[str]:
    """Return the namespaces of the keys with these texts, sorted."""
    found = set()
    for text in texts:
        key = keys.decode(text) if text.startswith(NAMESPACED) else None
        if isinstance(key, tuple) and len(key) == 2 and isinstance(key[0], str) and key[0]:
            found.add(key[0])
    return sorted(found)

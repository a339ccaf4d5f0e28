"""What dict has beyond the abstract methods of a mapping: `DictFace` and its views."""

from __future__ import annotations

import reprlib
from abc import abstractmethod
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from types import MappingProxyType
from typing import ClassVar, Generic, Literal, Protocol, Self, TypeAlias, TypeGuard, TypeVar, cast

from diskdict.store import NOT_SET, Mark

K = TypeVar("K")
V = TypeVar("V")
A = TypeVar("A")
B = TypeVar("B")
V_co = TypeVar("V_co", covariant=True)

Missing = Literal[Mark.NOT_SET]


class HasKeys(Protocol[K, V_co]):
    """What `dict.update` takes for a mapping."""

    def keys(self) -> Iterable[K]: ...

    def __getitem__(self, key: K, /) -> V_co: ...


Pairs: TypeAlias = HasKeys[K, V] | Iterable[tuple[K, V]]


def pairs(source: Pairs[K, V]) -> Iterator[tuple[K, V]]:
    """Yield the pairs of a mapping or of an iterable of pairs; what is neither fails as in `dict.update`."""
    if isinstance(source, DictFace) or type(source) is dict:
        yield from source.items()
    elif _has_keys(source):
        for key in source.keys():  # noqa: SIM118  # keys() and [] are all that is known of it
            yield key, source[key]
    else:
        for number, element in enumerate(cast(Iterable[tuple[K, V]], source)):
            yield _pair(number, element)


def _has_keys(source: Pairs[K, V]) -> TypeGuard[HasKeys[K, V]]:
    return hasattr(source, "keys")


def _pair(number: int, element: tuple[K, V]) -> tuple[K, V]:
    where = f"dictionary update sequence element #{number}"
    try:
        pair = tuple(element)
    except TypeError:
        raise TypeError(f"cannot convert {where} to a sequence") from None
    if len(pair) != 2:
        raise ValueError(f"{where} has length {len(pair)}; 2 is required")
    return cast(tuple[K, V], pair)


class _View(Generic[K, V]):
    """What the three views share. Each value is taken at its own time; a key that is gone by then is skipped."""

    __slots__ = ()

    _mapping: DictFace[K, V]
    _name: ClassVar[str]

    @property
    def mapping(self) -> MappingProxyType[K, V]:
        """The mapping that this is a view of, to read."""
        return MappingProxyType(self._mapping)

    def _pairs(self, keys: Iterator[K]) -> Iterator[tuple[K, V]]:
        for key in keys:
            value: V | Missing = self._mapping.get(key, NOT_SET)
            if value is not NOT_SET:
                yield key, value

    def _values(self, keys: Iterator[K]) -> Iterator[V]:
        for key in keys:
            value: V | Missing = self._mapping.get(key, NOT_SET)
            if value is not NOT_SET:
                yield value

    def __iter__(self) -> Iterator[object]:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{self._name}({list(self)!r})"


class DictKeys(_View[K, V], KeysView[K]):
    """The keys of a mapping: a set-like view."""

    __slots__ = ()

    _name = "dict_keys"

    def __iter__(self) -> Iterator[K]:
        return iter(self._mapping)

    def __reversed__(self) -> Iterator[K]:
        return reversed(self._mapping)


class DictValues(_View[K, V], ValuesView[V]):
    """The values of a mapping."""

    __slots__ = ()

    _name = "dict_values"

    def __contains__(self, value: object) -> bool:
        return any(found is value or found == value for found in self)

    def __iter__(self) -> Iterator[V]:
        return self._values(iter(self._mapping))

    def __reversed__(self) -> Iterator[V]:
        return self._values(reversed(self._mapping))


class DictItems(_View[K, V], ItemsView[K, V]):
    """The pairs of a mapping: a set-like view."""

    __slots__ = ()

    _name = "dict_items"

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._pairs(iter(self._mapping))

    def __reversed__(self) -> Iterator[tuple[K, V]]:
        return self._pairs(reversed(self._mapping))

    def __contains__(self, item: object) -> bool:
        return isinstance(item, tuple) and len(item) == 2 and super().__contains__(item)


class DictFace(MutableMapping[K, V]):
    """A mutable mapping that behaves as dict, made of ``__getitem__``, ``__setitem__``, ``__delitem__``, ``__iter__``,
    ``__reversed__``, ``__len__`` and ``__contains__``.

    Notes
    -----
    ``copy()``, ``|`` and its reflection give a plain dict. Other threads and time may remove keys while views are
    iterated: the values and items of such keys are skipped.
    """

    __slots__ = ()

    @abstractmethod
    def __reversed__(self) -> Iterator[K]: ...

    @abstractmethod
    def __contains__(self, key: object, /) -> bool: ...

    def keys(self) -> DictKeys[K, V]:
        """Return a view of the keys."""
        return DictKeys(self)

    def values(self) -> DictValues[K, V]:
        """Return a view of the values."""
        return DictValues(self)

    def items(self) -> DictItems[K, V]:
        """Return a view of the pairs."""
        return DictItems(self)

    def copy(self) -> dict[K, V]:
        """Return a plain dict of what is here now."""
        return dict(self._now())

    def _now(self) -> Iterator[tuple[K, V]]:
        """Yield the pairs of the keys that are here now; keys that others add or remove meanwhile are no error."""
        for key in self._listed():
            value: V | Missing = self.get(key, NOT_SET)
            if value is not NOT_SET:
                yield key, value

    def _listed(self) -> list[K]:
        return list(self)

    def popitem(self, *, last: bool = True) -> tuple[K, V]:
        """Remove and return the pair that was inserted last, or first with ``last=False``."""
        while True:
            try:
                key = next(reversed(self) if last else iter(self))
            except StopIteration:
                raise KeyError("popitem(): dictionary is empty") from None
            value: V | Missing = self.pop(key, NOT_SET)
            if value is not NOT_SET:
                return key, value

    def clear(self) -> None:
        """Remove every key."""
        for key in list(self):
            self.pop(key, None)

    def update(self, other: Pairs[K, V] = (), /, **kwargs: V) -> None:
        """Set each pair of a mapping or of an iterable of pairs, then each keyword."""
        for key, value in pairs(other):
            self[key] = value
        for name, value in kwargs.items():
            self[cast(K, name)] = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        if self is other:
            return True
        return len(self) == len(other) and all(_has(other, key, value) for key, value in self._now())

    def __or__(self, other: Mapping[A, B]) -> dict[K | A, V | B]:
        if not isinstance(other, Mapping):
            return NotImplemented
        merged: dict[K | A, V | B] = dict(self._now())
        merged.update(other.items())
        return merged

    def __ror__(self, other: Mapping[A, B]) -> dict[K | A, V | B]:
        if not isinstance(other, Mapping):
            return NotImplemented
        merged: dict[K | A, V | B] = dict(other.items())
        merged.update(self._now())
        return merged

    def __ior__(self, other: Pairs[K, V]) -> Self:  # type: ignore[misc]  # takes more than `|`, as dict's does
        self.update(other)
        return self

    @reprlib.recursive_repr("{...}")
    def __repr__(self) -> str:
        return "{" + ", ".join(f"{key!r}: {value!r}" for key, value in self._now()) + "}"


def _has(mapping: Mapping[object, object], key: object, value: object) -> bool:
    found = mapping.get(key, NOT_SET)
    return found is not NOT_SET and (found is value or found == value)

"""The keys of a namespace that look as somebody says, or are described as somebody says: `matching`, `fitting`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from diskdict.criteria import Criteria, fits, may_fit, traces
from diskdict.hierarchy import Pattern
from diskdict.info import unpack
from diskdict.kv.names import Namespace
from diskdict.store import Store

_AT_ONCE: Final = 1_000


def matching(store: Store, names: Namespace, pattern: Pattern) -> list[str]:
    """Return the keys that match, in the order of insertion: one shape of the pattern after another."""
    found: dict[str, None] = {}
    for shape in pattern.shapes:
        with store.exclusive():
            texts = list(store.scan_like(names.shape(shape)))
        found.update(dict.fromkeys(key for key in names.among(texts) if pattern.matches(key)))
    return list(found)


def fitting(store: Store, names: Namespace, criteria: Criteria) -> list[str]:
    """Return the keys whose metadata fits criteria, of which there is one at least, in the order of insertion."""
    sought = traces(criteria)
    texts = (
        text
        for text, meta in _described(store, names.texts(""), criteria)
        if may_fit(meta, sought) and fits(unpack(meta), criteria)
    )
    return list(names.among(texts))


def _described(store: Store, prefix: str, criteria: Criteria) -> Iterator[tuple[str, str]]:
    return store.scan_meta(prefix, criteria) or _one_by_one(store, prefix)


def _one_by_one(store: Store, prefix: str) -> Iterator[tuple[str, str]]:
    with store.exclusive():
        texts = list(store.scan(prefix))
    if not store.shared:
        for text in texts:
            stat = store.stat(text)
            if stat is not None and stat.meta:
                yield text, stat.meta
        return
    # Whole records are more to fetch, and far fewer times to wait.
    for at in range(0, len(texts), _AT_ONCE):
        for text, record in store.get_many(texts[at : at + _AT_ONCE]).items():
            if record.meta:
                yield text, record.meta

"""What is to become of a document, decided by what it is at that moment: `putting`, `amending`, `deleting`. Pure."""

from __future__ import annotations

from collections.abc import Callable

from diskdict.backends.elastic import documents
from diskdict.backends.elastic.documents import Change, Found, unless_changed
from diskdict.store import ABSENT, NEVER, OnlyIf, Record

Decide = Callable[[Found | None, float], Change | None]
"""Given a document, the expired too, and the time, returns the change to make of it, None for none."""
Place = Callable[[], int]
"""Returns the order of a record that is to come after all others."""


def live(found: Found | None, now: float) -> Found | None:
    """Return a document, or None where its record has expired."""
    return found if found is not None and found.stat.expires > now else None


def _meets(only_if: OnlyIf, there: Found | None) -> bool:
    if only_if is None:
        return True
    return only_if is ABSENT if there is None else only_if == there.stat.version


def putting(
    key: str,
    payload: bytes,
    place: Place,
    *,
    expires: float = NEVER,
    meta: str | None = None,
    spelling: str | None = None,
    created: float | None = None,
    only_if: OnlyIf = None,
    fresh: bool = False,
) -> Decide:
    """Return what `Store.put` decides; `fresh` puts a new record in the place of a live one."""

    def decide(found: Found | None, now: float) -> Change | None:
        there = live(found, now)
        if not _meets(only_if, there):
            return None
        kept = None if there is None or fresh else there.stat
        born = now if created is None else created
        body = documents.document(
            key,
            payload,
            order=place() if kept is None else kept.order,
            created=born if kept is None else kept.created,
            updated=now,
            expires=expires,
            meta=meta,
            spelling=spelling if kept is None else kept.spelling,
        )
        growth = len(payload) - (0 if there is None else there.stat.size)
        if found is None:
            return Change("create", {}, body, growth, resizes=True)
        return Change("index", unless_changed(found), body, growth, resizes=kept is None)

    return decide


def moving(record: Record, target: str, place: Place, spelling: str | None) -> Decide:
    """Return what puts a record where none is, as another key that comes after all others."""
    return putting(
        target,
        record.payload,
        place,
        expires=record.expires,
        meta=record.meta,
        spelling=spelling,
        created=record.created,
        only_if=ABSENT,
    )


def amending(expires: float | None, meta: str | None, only_if: OnlyIf) -> Decide:
    """Return what `Store.amend` decides."""
    part = {
        **({} if expires is None else documents.when(expires)),
        **({} if meta is None else documents.described(meta)),
    }

    def decide(found: Found | None, now: float) -> Change | None:
        there = live(found, now)
        if there is None or not _meets(only_if, there):
            return None
        return Change("update", unless_changed(there), {"doc": part, "detect_noop": False})

    return decide


def deleting(only_if: OnlyIf = None) -> Decide:
    """Return what `Store.delete` decides."""

    def decide(found: Found | None, now: float) -> Change | None:
        there = live(found, now)
        if there is None or not _meets(only_if, there):
            return None
        return Change("delete", unless_changed(there), growth=-there.stat.size, resizes=True)

    return decide


def committing(key: str, record: Record | None, place: Place, only_if: OnlyIf, *, amended: bool, fresh: bool) -> Decide:
    """Return what a commit decides of a key."""
    if record is None:
        return deleting(only_if)
    if amended:
        return amending(record.expires, record.meta or "", only_if)
    # When things were made that are made in this commit is known best when it is made.
    created = None if record.created == record.updated else record.created
    return putting(
        key,
        record.payload,
        place,
        expires=record.expires,
        meta=record.meta,
        spelling=record.spelling,
        created=created,
        only_if=only_if,
        fresh=fresh,
    )

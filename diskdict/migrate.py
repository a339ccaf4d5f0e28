"""All records of one store to another, as they are: `migrate`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

from diskdict.compression import Compression
from diskdict.errors import ConflictError, CorruptValueError, KeyExistsError
from diskdict.info import unpack
from diskdict.keys import decode
from diskdict.opening import check_choice
from diskdict.scanning import Progress
from diskdict.store import ABSENT, NEVER, OnlyIf, Record, Store

OnConflict = Literal["error", "skip", "overwrite"]
_SAME: Final = 1.0  # seconds by which clocks, and times that were written down, may differ
_LARGE: Final = 4 << 20  # bytes of payloads that are written as one: a server takes a message of twice as many


class Migrated(NamedTuple):
    """How many keys were copied now, were there already as they are, were left as they are there."""

    copied: int
    there: int
    skipped: int


class _Side(NamedTuple):
    """A store, and how its payloads are compressed."""

    store: Store
    compression: Compression | None

    def get_many(self, texts: Iterable[str]) -> dict[str, Record]:
        """Return records as `Store.get_many` does, payloads expanded."""
        found = self.store.get_many(texts)
        if self.compression is None:
            return found
        return {text: self._expanded(text, record, self.compression) for text, record in found.items()}

    def _expanded(self, text: str, record: Record, compression: Compression) -> Record:
        try:
            return record._replace(payload=compression.expand(record.payload))
        except ValueError as error:
            raise CorruptValueError(decode(text), "", str(error)) from None

    def to_write(self, payload: bytes) -> bytes:
        """Return a payload compressed."""
        return payload if self.compression is None else self.compression.compress(payload)


def migrate(
    source: Store,
    target: Store,
    batch_size: int = 100,
    *,
    on_conflict: OnConflict = "error",
    progress: Progress | None = None,
    compressions: tuple[Compression | None, Compression | None] = (None, None),
) -> Migrated:
    """Copy every record of `source` with its expiry, creation and metadata, in order; compare each afterwards.

    A key that `target` has with another value is a KeyExistsError, or is left (``"skip"``) or replaced
    (``"overwrite"``). Interrupted or killed, it completes when it is run again: batches are copied whole, and what is
    there already as it is to be is left. What a time-to-live has left is what it has left there, whatever the clocks
    say. `progress` is called with the number of keys that are done and of all, after each batch. CorruptValueError,
    where what is read again is not what was written. `compressions` are those of the payloads there and here.
    """
    check_choice("on_conflict", on_conflict, ("error", "skip", "overwrite"))
    if type(batch_size) is not int or batch_size < 1:
        raise ValueError(f"batch_size is an int from 1, not {batch_size!r}")
    there, here = _Side(source, compressions[0]), _Side(target, compressions[1])
    with source.exclusive():
        texts = list(source.scan())
    later = target.clock() - source.clock()
    shift = later if abs(later) > _SAME else 0.0
    counts = Migrated(0, 0, 0)
    for at in range(0, len(texts), batch_size):
        batch = texts[at : at + batch_size]
        found = there.get_many(batch)
        records = {text: found[text]._replace(expires=found[text].expires + shift) for text in batch if text in found}
        done = _copy(records, here, on_conflict)
        counts = Migrated(*map(sum, zip(counts, done, strict=True)))
        if progress is not None:
            progress(min(at + batch_size, len(texts)), len(texts))
    return counts


def _copy(records: dict[str, Record], target: _Side, on_conflict: OnConflict) -> Migrated:
    copied: dict[str, Record] = {}
    while True:
        before = target.get_many(records)
        same = {text for text, record in before.items() if _is_same(record, records[text])}
        others = before.keys() - same
        if others and on_conflict == "error":
            raise KeyExistsError(decode(next(text for text in records if text in others)))
        left = others if on_conflict == "skip" else set[str]()
        wanted = {text: record for text, record in records.items() if text not in same and text not in left}
        try:
            for some in _portions(wanted, target):
                _write(some, before, target)
                copied.update(some)
        except ConflictError:
            continue
        _compare(copied, target)
        return Migrated(len(copied), len(same - copied.keys()), len(left - copied.keys()))


def _portions(records: dict[str, Record], target: _Side) -> Iterator[dict[str, Record]]:
    """Yield records, in their order, as many at a time as are written as one."""
    for group in target.store.groups(records):
        some: dict[str, Record] = {}
        room = _LARGE
        for text in group:
            room -= len(records[text].payload)
            if room < 0 and some:
                yield some
                some, room = {}, _LARGE - len(records[text].payload)
            some[text] = records[text]
        if some:
            yield some


def _write(wanted: dict[str, Record], before: dict[str, Record], target: _Side) -> None:
    store = target.store
    expected: dict[str, OnlyIf] = {text: before[text].version if text in before else ABSENT for text in wanted}
    if list(expected.values()) == [ABSENT]:
        # Alone a value may be larger than what many may be together.
        [(text, record)] = wanted.items()
        _create(text, record, target)
        return
    with store.exclusive():
        changes: dict[str, Record | None] = {}
        for text, record in wanted.items():
            number = store.number()
            order = before[text].order if text in before else number
            payload = target.to_write(record.payload)
            changes[text] = record._replace(payload=payload, order=order, version=number)
        store.commit_if(expected, changes)


def _create(text: str, record: Record, target: _Side) -> None:
    done = target.store.put(
        text,
        target.to_write(record.payload),
        expires=record.expires,
        meta=record.meta,
        spelling=record.spelling,
        created=record.created,
        only_if=ABSENT,
    )
    if done is None:
        raise ConflictError(f"{text!r} was made by others")


def _compare(wanted: dict[str, Record], target: _Side) -> None:
    found = target.get_many(wanted)
    now = target.store.clock()
    for text, record in wanted.items():
        if record.expires > now + _SAME and (text not in found or not _is_same(found[text], record)):
            raise CorruptValueError(decode(text), "", "what was read again is not what was written")


def _is_same(one: Record, other: Record) -> bool:
    if one.payload != other.payload or unpack(one.meta) != unpack(other.meta) or one.spelling != other.spelling:
        return False
    return one.expires == other.expires or (
        NEVER not in (one.expires, other.expires) and abs(one.expires - other.expires) <= _SAME
    )

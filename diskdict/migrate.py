"""All records of one store to another, as they are: `migrate`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final, Literal, NamedTuple

from diskdict.compression import Compression
from diskdict.errors import ConflictError, CorruptValueError, KeyExistsError
from diskdict.info import unpack
from diskdict.keys import decode
from diskdict.opening import check_choice
from diskdict.scanning import Progress
from diskdict.store import ABSENT, NEVER, OnlyIf, Record, Stat, Store
from diskdict.uploads import Upload, upload_to

OnConflict = Literal["error", "skip", "overwrite"]
_SAME: Final = 1.0  # seconds by which clocks, and times that were written down, may differ
_LARGE: Final = 4 << 20  # bytes of payloads that are written as one: a server takes a message of twice as many
_PIECE: Final = 1 << 18


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
    streams: bool = False,
) -> Migrated:
    """Copy every record of `source` with its expiry, creation and metadata, in order; compare each afterwards.

    A key that `target` has with another value is a KeyExistsError, or is left (``"skip"``) or replaced
    (``"overwrite"``). Interrupted or killed, it completes when it is run again: batches are copied whole, and what is
    there already as it is to be is left. What a time-to-live has left is what it has left there, whatever the clocks
    say. `progress` is called with the number of keys that are done and of all, after each batch. CorruptValueError,
    where what is read again is not what was written. `compressions` are those of the payloads there and here. With
    `streams`, for payloads that are compressed in neither, no more than 4 MiB of them are in memory at a time, but for
    what a store itself has there; a larger one that is replaced leaves its time of creation to what comes.
    """
    check_choice("on_conflict", on_conflict, ("error", "skip", "overwrite"))
    if type(batch_size) is not int or batch_size < 1:
        raise ValueError(f"batch_size is an int from 1, not {batch_size!r}")
    there, here = _Side(source, compressions[0]), _Side(target, compressions[1])
    with source.exclusive():
        texts = list(source.scan())
    later = target.clock() - source.clock()
    shift = later if abs(later) > _SAME else 0.0
    counts, at = Migrated(0, 0, 0), 0
    for batch in _batches(source, texts, batch_size, streams=streams):
        if isinstance(batch, str):
            done = _carry(batch, source, target, on_conflict, shift)
            at += 1
        else:
            found = there.get_many(batch)
            live = [text for text in batch if text in found]
            records = {text: found[text]._replace(expires=found[text].expires + shift) for text in live}
            done = _copy(records, here, on_conflict)
            at += len(batch)
        counts = Migrated(*map(sum, zip(counts, done, strict=True)))
        if progress is not None:
            progress(at, len(texts))
    return counts


def _batches(source: Store, texts: list[str], batch_size: int, *, streams: bool) -> Iterator[list[str] | str]:
    """Yield the texts in their order, as many at a time as are copied together; one by itself that is a stream."""
    batch: list[str] = []
    room = _LARGE
    for text in texts:
        stat = source.stat(text) if streams else None
        size = 0 if stat is None else stat.size
        if batch and (size > room or len(batch) == batch_size):
            yield batch
            batch, room = [], _LARGE
        if size > _LARGE:
            yield text
        else:
            batch.append(text)
            room -= size
    if batch:
        yield batch


def _carry(text: str, source: Store, target: Store, on_conflict: OnConflict, shift: float) -> Migrated:
    """Copy one record as a stream."""
    while (stat := source.stat(text)) is not None:
        wanted = stat._replace(expires=stat.expires + shift)
        before = target.stat(text)
        if before is not None:
            same = before.size == stat.size and _have_the_same(before, wanted)
            if same and _digest(source.open(text)) == _digest(target.open(text)):
                return Migrated(0, 1, 0)
            if on_conflict == "error":
                raise KeyExistsError(decode(text))
            if on_conflict == "skip":
                return Migrated(0, 0, 1)
        if _send(text, wanted, source, target, ABSENT if before is None else before.version):
            return Migrated(1, 0, 0)
    return Migrated(0, 0, 0)


def _send(text: str, wanted: Stat, source: Store, target: Store, only_if: OnlyIf) -> bool:
    """Put what the source has, and read it again; return False, having done nothing, where others change it."""
    upload = upload_to(target)
    try:
        sent = _digest(source.open(text), upload)
        now = source.stat(text)
        if sent is None or now is None or now.version != wanted.version:
            return False
        expires, meta, created = wanted.expires, wanted.meta, wanted.created
        if upload.finish(text, expires=expires, meta=meta, created=created, only_if=only_if) is None:
            return False
    finally:
        upload.discard()
    there = target.stat(text)
    same = there is not None and _have_the_same(there, wanted) and _digest(target.open(text)) == sent
    if not same and wanted.expires > target.clock() + _SAME:
        raise _not_what_was_written(text)
    return True


def _digest(content: BinaryIO | None, upload: Upload | None = None) -> bytes | None:
    """Return a hash of what a stream gives, which goes to `upload` meanwhile; None where there is none."""
    if content is None:
        return None
    import hashlib  # takes a while to load, and only large values need it

    digest = hashlib.blake2b()
    with content:
        while piece := content.read(_PIECE):
            digest.update(piece)
            if upload is not None:
                upload.write(piece)
    return digest.digest()


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
            raise _not_what_was_written(text)


def _not_what_was_written(text: str) -> CorruptValueError:
    return CorruptValueError(decode(text), "", "what was read again is not what was written")


def _is_same(one: Record, other: Record) -> bool:
    return one.payload == other.payload and _have_the_same(one, other)


def _have_the_same(one: Record | Stat, other: Record | Stat) -> bool:
    if unpack(one.meta) != unpack(other.meta) or one.spelling != other.spelling:
        return False
    return one.expires == other.expires or (
        NEVER not in (one.expires, other.expires) and abs(one.expires - other.expires) <= _SAME
    )

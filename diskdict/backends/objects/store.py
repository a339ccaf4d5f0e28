"""A store whose records are objects in a bucket: `ObjectStore`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING

from diskdict.backends.objects.address import client_of, parsed
from diskdict.backends.objects.commits import Make
from diskdict.backends.objects.lines import given_of
from diskdict.backends.objects.puts import Put, content_of
from diskdict.backends.objects.taking import Taking
from diskdict.criteria import Criteria
from diskdict.errors import ConflictError
from diskdict.limits import Limits
from diskdict.messages import Listed
from diskdict.mutex import LockLike
from diskdict.store import ABSENT, NEVER, Clock, OnlyIf, Record

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client


class ObjectStore(Taking):
    """Records as objects of a bucket, which others may change at the same time.

    Parameters
    ----------
    client: obstore store
        What speaks to the service: an ``S3Store``, ``GCSStore``, ``AzureStore``, or any other of obstore's.
    prefix: str
        Segments with slashes between them that begin the name of every object.
    server: str, optional
        What errors call the service.
    codec: str
        The name of the codec. The object ``diskdict.json`` keeps it, and another is refused.
    clock: callable
        The time now in seconds since the epoch: that of this machine. No service tells a finer one than seconds.
    lock: lock or factory of locks
        Held around every mutation. By default threads change different things at a time, and `exclusive` is alone.
    limits: Limits
        Of these ``total_bytes`` is held as far as others do not write at the same time, and costs a listing a write.
    removal: float
        The most seconds for which the client may be at work on a request to remove an object, and a wide margin.
    monotonic, sleep: callable
        What measures seconds that somebody is waited for, and what lets them pass.

    Raises
    ------
    ConnectionError, TimeoutError, PermissionError, FileNotFoundError
        By any use: the service cannot be reached, does not answer in time, refuses the credentials or has none, has no
        such bucket. A change that was under way may have been made then.
    OSError
        With ``EOPNOTSUPP``: the service ignores the conditions of requests, or has none. What would lose changes of
        others is refused then: whatever depends on a version, `amend`, `rename`, transactions. Plain `get`, `put` and
        `delete` go on, `put_many` and `delete_many` key by key, and `sweep` leaves everything.
    FormatError
        By the first use: the prefix is that of a store with another codec, or of something else.

    Notes
    -----
    Nothing is asked before the first use, and what the service understands is found out before the first change.
    `exclusive` keeps out the other threads of this handle, not other clients: what they change is met by versions.

    An object is the payload, a line feed, and a line of JSON with all else. The line is in its metadata as well where
    it fits there (2,000 bytes); where it does not, a `stat` reads the whole object. One request is a read, one a write
    of a key that was seen here, two of another, two a removal; a change of several keys as one takes three for each
    and two for all, 16 at a time. A thousand keys are one request of a listing, and one more for each object that has
    changed since it was seen here; of 100,000 it is kept in mind what they are. So `count`, `scan` and `sweep` are for
    stores of moderate size. What `get_many` reads is of one moment only as far as other handles do not write.

    The order is that of the clocks of those who inserted, and expiry that of their clocks, too: they should agree, by
    no means differ by an hour. A payload of 8 MiB and more is an object of its own, sent and read in parts. `upload`
    has two or three parts in memory, as many requests at a time, and takes 10,000 of them. The stream of `open` is one
    answer as long as it is read in its order, and asks anew from where it is sought to; what is replaced or removed
    through this handle is there until it is closed, what others remove is a ConflictError when it is asked for. What a
    client that was killed has left is removed by `sweep` a day later, but parts of an upload that was never completed:
    these are for a rule of the bucket. `move_over` and uploads of such streams have the service copy, where it does.

    A client that is killed in the middle of a removal leaves the key absent, and who puts it again waits for as long as
    the request may have been on its way: `removal` seconds. One that is killed in the middle of a change of several
    keys leaves all or nothing; who writes one of them waits for five seconds. A process forked from one that has used
    this cannot.
    """

    def rename(self, source: str, target: str, *, spelling: str | None = None) -> bool | None:
        with self._alone():
            self._manifest.make()
            while True:
                record = self.get(source)
                if record is None or self.contains(target):
                    return None if record is None else False
                order = self._cells.numbers.next()
                moved = record._replace(order=order, spelling=spelling)
                makes = {source: _giving(None), target: _giving(moved)}
                with suppress(ConflictError):
                    self._commits.make(makes, {source: record.version, target: ABSENT})
                    self._changes += 1
                    return True

    # ---- many keys

    def scan(self, prefix: str = "", *, reverse: bool = False) -> Iterator[str]:
        self._bucket.client()
        return self._walk(prefix, reverse, self._changes)

    def _walk(self, prefix: str, reverse: bool, changes: int) -> Iterator[str]:
        self._check_unchanged(changes)
        now = self.clock()
        found = [(stat.order, key, stat.spelling) for key, stat in self._stats(prefix) if stat.expires > now]
        for _, key, spelling in sorted(found, reverse=reverse):
            self._check_unchanged(changes)
            yield _listed(key, spelling)
        self._check_unchanged(changes)

    def scan_meta(self, prefix: str, criteria: Criteria) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        now = self.clock()
        found = [(stat.order, key, stat.meta) for key, stat in self._stats(prefix) if stat.meta and stat.expires > now]
        return iter([(key, meta) for _, key, meta in sorted(found)])

    def _check_unchanged(self, changes: int) -> None:
        self._bucket.client()
        if changes != self._changes:
            raise RuntimeError("dictionary changed size during iteration")

    def count(self) -> int:
        now = self.clock()
        return sum(stat.expires > now for _, stat in self._stats())

    def get_many(self, keys: Iterable[str]) -> dict[str, Record]:
        self._manifest.meet()
        asked = list(dict.fromkeys(keys))
        with self._changing():
            records = self._crew.each(lambda key: self._record(key, self._cells.read(key)), asked)
        return {key: record for key, record in zip(asked, records, strict=True) if record is not None}

    def put_many(
        self, payloads: Mapping[str, bytes], *, expires: float = NEVER, spellings: Mapping[str, str] | None = None
    ) -> None:
        spelled = spellings or {}
        puts = {key: Put(content_of(payload), expires, spelling=spelled.get(key)) for key, payload in payloads.items()}
        if len(puts) < 2 or not self._bucket.understood().conditions:
            super().put_many(payloads, expires=expires, spellings=spellings)
            return
        # The order of the mapping is that of insertion.
        numbers = {key: self._cells.numbers.next() for key in puts}

        def making(key: str) -> Make:
            return lambda old: puts[key].over(old, self.clock(), numbers[key])

        with self._alone():
            self._make_room_for(payloads)
            self._make({key: making(key) for key in puts}, {})

    def delete_many(self, keys: Iterable[str]) -> dict[str, bool]:
        asked = list(dict.fromkeys(keys))
        if len(asked) < 2 or not self._bucket.understood().conditions:
            return super().delete_many(asked)
        with self._alone():
            self._manifest.meet()
            there = self._crew.each(lambda key: self._live(self._cells.look(key)), asked)
            found = [key for key, stat in zip(asked, there, strict=True) if stat is not None]
            placed = self._make(dict.fromkeys(found, _giving(None)), {})
        return {key: key in placed and placed[key].before is not None for key in asked}

    def sweep(self, limit: int | None = None) -> int:
        with self._changing():
            self._manifest.meet()
            if limit == 0 or not self._bucket.understood().conditions:
                return 0
            now = self.clock()
            seen = self._seen("")
            expired = [view for view in seen if view.stat is not None and view.stat.expires <= now][:limit]
            removed = self._crew.each(self._removed, expired)
            self._crew.each(self._cells.sweep, [view.key for view in seen if view.stat is None])
            self._commits.tidy()
            self._cells.apart.tidy((view.key, view.held) for view in seen if view.held is not None)
            return sum(removed)

    # ---- several changes

    def exclusive(self) -> AbstractContextManager[object]:
        self._bucket.client()
        return self._alone()

    def number(self) -> int:
        return self._cells.numbers.next()

    def commit(self, changes: Mapping[str, Record | None], *, amended: Collection[str] = ()) -> None:
        self.commit_if({}, changes, amended=amended)

    def commit_if(
        self, expected: Mapping[str, OnlyIf], changes: Mapping[str, Record | None], *, amended: Collection[str] = ()
    ) -> None:
        if not changes:
            super().commit_if(expected, changes, amended=amended)
            return
        with self._alone():
            self._make({key: _giving(record) for key, record in changes.items()}, expected)

    def check_growth(self, growth: int) -> None:
        with self._alone():
            self._make_room(growth)

    def close(self) -> None:
        self._bucket.close()
        self._crew.close()


def _giving(record: Record | None) -> Make:
    return lambda _: None if record is None else given_of(record)


def _listed(key: str, spelling: str | None) -> str:
    if key[:1] != "=":
        return key
    text = Listed(key)
    text.spelling = spelling or key
    return text


def over_client(client: Client, *, codec: str, clock: Clock) -> ObjectStore:
    """Return a store in what an obstore client speaks to: all of it is below the client's own prefix."""
    return ObjectStore(client, codec=codec, clock=clock)


def open_url(url: str, *, codec: str, clock: Clock, lock: LockLike | None, limits: Limits | None) -> ObjectStore:
    """Return the store at ``s3://bucket/prefix?endpoint=…``, ``gs:`` or ``az:``; see `address.parsed`."""
    address = parsed(url)
    return ObjectStore(
        client_of(address),
        prefix=address.prefix,
        server=str(address),
        codec=codec,
        clock=clock,
        lock=lock,
        limits=limits,
        removal=4 * address.timeout,
    )

"""The dict over any store, with time-to-live and atomic operations on one key: `StoreDict`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Self, TypeVar, cast, overload

from diskdict.changes import joined, total
from diskdict.codecs import Codec
from diskdict.errors import ClosedError, ConflictError, KeyExistsError, ReadOnlyError
from diskdict.face import K, Missing, V
from diskdict.flights import Flights
from diskdict.info import pack
from diskdict.keys import find, respelled
from diskdict.limits import Limits
from diskdict.repeating import Repeater, checked_interval
from diskdict.store import ABSENT, NOT_SET, OnlyIf, Store, Ttl
from diskdict.together import Together
from diskdict.transactions import Transactions
from diskdict.values import Values, ask
from diskdict.writeback import CONSTANT, same

T = TypeVar("T")
Number = TypeVar("Number", int, float)
Tail = TypeVar("Tail", str, bytes, list[object])


class StoreDict(Together[K, V]):
    """A dict whose values live in a `Store`, with time-to-live and atomic operations on one key.

    Parameters
    ----------
    store: Store
        Where the records live. `close` closes it.
    codec: str or Codec
        How values become bytes: ``"json"``, ``"raw"``, ``"pickle"`` or an object with ``dumps``, ``loads``, ``name``;
        with ``+gzip`` or ``+zstd`` behind the name, compressed.
    default_ttl: int, float or timedelta
        Seconds that a key lives when nothing else is said; None for ever.
    limits: Limits
        What keys and values may measure; ``total_bytes`` is the store's to hold.
    writeback: bool
        Remember mutable values that were handed out and write them back by `flush` and `close`.
    cleanup_interval: float
        Seconds between two removals of expired keys by a thread of its own; None for no thread.

    Notes
    -----
    Each operation is atomic for its key. What is read is a new object each time, so that changing it in place changes
    nothing here: assign it, use `edit`, or ask for ``writeback``. A missing key is KeyError where dict has that.

    Examples
    --------
    >>> from diskdict.backends.memory import MemoryStore
    >>> with StoreDict(MemoryStore()) as d:
    ...     d["answer"] = 41
    ...     d.increment("answer")
    42
    """

    def __init__(
        self,
        store: Store,
        *,
        codec: str | Codec = "json",
        default_ttl: Ttl = None,
        limits: Limits | None = None,
        writeback: bool = False,
        cleanup_interval: float | None = None,
    ) -> None:
        if cleanup_interval is not None:
            cleanup_interval = checked_interval("cleanup_interval", cleanup_interval)
        self._store = Transactions(store)
        values: Values[V] = Values(
            self._store, codec=codec, default_ttl=default_ttl, limits=limits, writeback=writeback
        )
        self._values = values
        # Reading and writing are a few hundred nanoseconds: what they need is bound once.
        self._bind(store)
        self._dumps = values.dumps
        self._loads = values.loads
        self._plain_reads = not writeback
        self._plain_writes = values.simple
        self._flights: Flights[tuple[V, bytes]] = Flights()
        self._cleaner = None
        if cleanup_interval is not None:
            self._cleaner = Repeater(self.cleanup_expired, cleanup_interval, "cleanup")

    def _bind(self, store: Store) -> None:
        self._read = store.read
        self._put = store.put
        self._delete = store.delete
        self._contains = store.contains
        self._count = store.count

    # ---- dict

    def __getitem__(self, key: K) -> V:
        text: object = key
        if type(text) is str and text[:1] != "=" and self._plain_reads:
            payload = self._read(text)
            if payload is not None:
                try:
                    return self._loads(payload)
                except ValueError as error:
                    self._values.reject(text, payload, error)
        else:
            value = self._find(key)
            if value is not NOT_SET:
                return value
        raise KeyError(key)

    def _find(self, key: object) -> V | Missing:
        text = find(key)
        return NOT_SET if text is None else self._values.find(text)

    @overload
    def get(self, key: K, /) -> V | None: ...

    @overload
    def get(self, key: K, /, default: V) -> V: ...

    @overload
    def get(self, key: K, /, default: T) -> V | T: ...

    def get(self, key: K, /, default: T | None = None) -> V | T | None:
        """Return the value of `key`, or `default`."""
        text: object = key
        if type(text) is str and text[:1] != "=" and self._plain_reads:
            payload = self._read(text)
            if payload is not None:
                try:
                    return self._loads(payload)
                except ValueError as error:
                    self._values.reject(text, payload, error)
            return default
        value = self._find(key)
        return default if value is NOT_SET else value

    def __setitem__(self, key: K, value: V) -> None:
        text: object = key
        if type(text) is str and text[:1] != "=" and self._plain_writes:
            self._put(text, self._dumps(value))
        else:
            self.set(key, value)

    def __delitem__(self, key: K) -> None:
        text: object = key
        if type(text) is str and text[:1] != "=" and self._plain_reads:
            removed = self._delete(text)
        else:
            removed = self.delete(key)
        if not removed:
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        text = key if type(key) is str and key[:1] != "=" else find(key)
        return text is not None and self._contains(text)

    def __len__(self) -> int:
        return self._count()

    def __iter__(self) -> Iterator[K]:
        keys = self._store.scan_keys()
        return self._keys(self._store.scan()) if keys is None else cast(Iterator[K], keys)

    def __reversed__(self) -> Iterator[K]:
        return self._keys(self._store.scan(reverse=True))

    def _listed(self) -> list[K]:
        with self._store.exclusive():
            return list(self)

    def _keys(self, texts: Iterator[str]) -> Iterator[K]:
        for text in texts:
            yield cast(K, text) if text[:1] != "=" else self._key(text)

    def _key(self, text: str) -> K:
        return cast(K, respelled(text, self._store.spelling(text)))

    def setdefault(self, key: K, default: V | None = None, /) -> V:
        """Return the value of `key`; store and return `default` where there is none."""
        value = cast(V, default)
        text, spelled = self._values.key(key)
        while True:
            current = self._values.current(text)
            if current.value is not NOT_SET:
                return current.value
            if self._values.put(text, value, self._values.encoded(value), current, spelling=spelled):
                return value

    @overload
    def pop(self, key: K, /) -> V: ...

    @overload
    def pop(self, key: K, /, default: V) -> V: ...

    @overload
    def pop(self, key: K, /, default: T) -> V | T: ...

    def pop(self, key: K, /, default: T | Missing = NOT_SET) -> V | T:
        """Remove `key` and return the value that was removed, or `default`."""
        text = find(key)
        value = NOT_SET if text is None else self._values.take(text)
        if value is not NOT_SET:
            return value
        if default is NOT_SET:
            raise KeyError(key)
        return default

    def popitem(self, *, last: bool = True) -> tuple[K, V]:
        """Remove and return the pair that was inserted last, or first with ``last=False``."""
        with self._store.exclusive():
            while True:
                for text in self._store.scan(reverse=last):
                    key = self._key(text)
                    value = self._values.take(text)
                    if value is not NOT_SET:
                        return key, value
                    # Damaged and to be missing: go on behind it, or start again where it was set aside just now.
                    if not self._contains(text):
                        break
                else:
                    raise KeyError("popitem(): dictionary is empty")

    def clear(self) -> None:
        """Remove every key, expired ones included."""
        with self._store.exclusive():
            for text in self._store.delete_many(list(self._store.scan())):
                self._values.forget(text)
            self._store.sweep()

    # ---- one key

    def set(self, key: K, value: V, *, ttl: Ttl = None, metadata: Mapping[str, object] | None = None) -> None:
        """Store a value with a time-to-live in seconds (None: ``default_ttl``, FOREVER: none) and metadata."""
        text: object = key
        if type(text) is str and text[:1] != "=" and self._plain_writes and metadata is None:
            self._put(text, self._dumps(value), expires=self._values.expires(ttl))
        else:
            self._write(key, value, ttl, metadata, None)

    def create(self, key: K, value: V, *, ttl: Ttl = None, metadata: Mapping[str, object] | None = None) -> None:
        """Store as `set` does, or raise KeyExistsError where the key has a value."""
        while not self._write(key, value, ttl, metadata, ABSENT):
            text, _ = self._values.key(key)
            current = self._values.current(text)
            if current.value is not NOT_SET:
                raise KeyExistsError(key)
            if self._write(key, value, ttl, metadata, current.version):
                return

    def _write(self, key: K, value: V, ttl: Ttl, metadata: Mapping[str, object] | None, only_if: OnlyIf) -> bool:
        values = self._values
        text, spelled = values.key(key)
        payload = values.encoded(value)
        meta = None if metadata is None else pack(metadata)
        version = self._put(text, payload, expires=values.expires(ttl), meta=meta, spelling=spelled, only_if=only_if)
        if version is not None and values.held is not None:
            values.held.remember(text, value, payload, version)
        return version is not None

    def delete(self, key: K) -> bool:
        """Remove `key`; say whether it was there."""
        text = find(key)
        if text is None:
            return False
        removed = self._store.delete(text)
        self._values.forget(text)
        return removed

    def get_or_set(self, key: K, factory: Callable[[], V], *, ttl: Ttl = None) -> V:
        """Return the value of `key`; where there is none, store and return what `factory` gives.

        The factory runs outside the lock and once, however many threads ask: the others wait for its result. When it
        fails, the exception goes to the thread that ran it, and one that waited runs its own. A factory that asks for
        the same key is a RuntimeError.
        """
        values = self._values
        text, spelled = values.key(key)
        values.expires(ttl)
        found = values.find(text)
        if found is not NOT_SET:
            return found
        if self._store.readonly:
            raise ReadOnlyError(f"{key!r} is missing, and this handle was opened with readonly=True")

        def compute() -> tuple[V, bytes]:
            current = values.current(text)
            if current.value is not NOT_SET:
                return current.value, current.payload
            value = factory()
            payload = values.encoded(value)
            while not values.put(text, value, payload, current._replace(expires=values.expires(ttl)), spelling=spelled):
                current = values.current(text)
                if current.value is not NOT_SET:
                    return current.value, current.payload
            return value, payload

        if self._store.staged is not None:
            # The one to wait for may wait for the lock that this thread holds.
            return compute()[0]
        (value, payload), computed = self._flights.join(text, compute)
        # No two threads are handed the same object, except by writeback, where it is the key's one object.
        return value if computed or values.held is not None else self._loads(payload)

    @contextmanager
    def edit(self, key: K) -> Iterator[V]:
        """Give the value to change in place, and store it at the end of the block if it has changed.

        Time-to-live and metadata stay. Nothing is stored when the block raises. ConflictError, when the key was
        changed or removed meanwhile.
        """
        text = find(key)
        current = None if text is None else self._values.current(text)
        if text is None or current is None or current.value is NOT_SET:
            raise KeyError(key)
        if type(current.value) in CONSTANT:
            raise TypeError(
                f"edit changes a value in place, and {type(current.value).__name__} cannot be; assign it,"
                " or use increment or append"
            )
        # A copy of its own: with writeback, the value handed out must not keep what a failed block did to it.
        value = self._loads(current.payload)
        yield value
        payload = self._values.encoded(value)
        if same(current.payload, payload, self._dumps, self._loads):
            return
        if not self._values.put(text, value, payload, current):
            raise ConflictError(f"{key!r} was changed or removed while it was edited; read it again and repeat")

    def increment(self, key: K, delta: Number = 1) -> Number:
        """Add `delta` to a number and return the sum. A missing key counts from 0."""
        return cast(Number, self._change(key, lambda value: total(value, delta)))

    def append(self, key: K, tail: Tail) -> Tail:
        """Join `tail` to the end of a str, bytes or list and return the whole. A missing key becomes `tail`."""
        return cast(Tail, self._change(key, lambda value: joined(value, tail)))

    def _change(self, key: K, change: Callable[[object], object]) -> V:
        text, spelled = self._values.key(key)
        while True:
            current = self._values.current(text)
            value = cast(V, change(current.value))
            if self._values.put(text, value, self._values.encoded(value), current, spelling=spelled):
                return value

    def compare_and_swap(self, key: K, old: V, new: V) -> bool:
        """Replace the value by `new` if it equals `old`; say whether it did. False for a missing key."""
        text = find(key)
        payload = self._values.encoded(new)
        while text is not None:
            current = self._values.current(text)
            if current.value is NOT_SET or not (current.value is old or current.value == old):
                return False
            if self._values.put(text, new, payload, current):
                return True
        return False

    def rename(self, src: K, dst: K) -> None:
        """Move a value with its time-to-live, metadata and creation time to a key that has none."""
        source = self._settled(src)
        target, spelled = self._values.key(dst)
        if source == target:
            self._stat(src)
            return
        done = ask(self._store.rename, source, target, spelling=spelled)
        if done is None:
            raise KeyError(src)
        if not done:
            raise KeyExistsError(dst)
        if self._values.held is not None:
            self._values.held.move(source, target)

    def copy_key(self, src: K, dst: K) -> None:
        """Store the value of `src` with its time-to-live and metadata under a key that has none."""
        target, spelled = self._values.key(dst)
        record = ask(self._store.get, self._settled(src))
        if record is None:
            raise KeyError(src)
        done = self._put(
            target, record.payload, expires=record.expires, meta=record.meta, spelling=spelled, only_if=ABSENT
        )
        if done is None:
            raise KeyExistsError(dst)
        self._values.forget(target)

    # ---- the end

    def flush(self) -> None:
        """Write back what ``writeback`` has handed out and what changed since."""
        self._values.settle_all()

    def close(self) -> None:
        """Write back, end the thread of `cleanup_interval` and close the store. Closing twice does nothing."""
        if self._cleaner is not None:
            self._cleaner.stop()
        try:
            self.flush()
        finally:
            self._values.forget_all()
            self._store.close()

    def __del__(self) -> None:
        # What was handed out and changed would be lost without a word; shelve does the same.
        values = self.__dict__.get("_values")
        if values is not None:
            with suppress(ClosedError):
                values.settle_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

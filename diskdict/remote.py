"""A queue of a server that runs elsewhere: `RemoteQueue`, by docs/http.rst."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from queue import Empty, Full
from typing import Final, Generic, TypeVar, cast

from diskdict import messages
from diskdict.asking import Asking
from diskdict.codecs import JSON, Codec
from diskdict.errors import CorruptValueError
from diskdict.messages import BYTES_TYPE, MOST_AT_ONCE, Document, Form, number, queue_path
from diskdict.queues.given import Counts, Delivery
from diskdict.refusals import understanding
from diskdict.remoteletters import RemoteDeadLetters
from diskdict.store import Seconds, seconds

V = TypeVar("V")

POLL: Final = 20.0
"""Seconds that one request waits: what lies between client and server may end connections on which nothing happens."""


class RemoteQueue(Generic[V]):
    """A queue that ``diskdict serve`` has, as `diskdict.client.Client.queue` gives it: a `DurableQueue` at least once.

    ``name`` is its name. The methods are those of `DurableQueue` with ``visibility``, their arguments and what they
    return and raise as there: ``get`` gives a `Delivery`, to be acknowledged. What waits for an item or for room asks
    anew every 20 seconds. A queue that nobody has put anything into is an empty one.

    Raises
    ------
    ConnectionError, TimeoutError, PermissionError
        By any use, as by a `Client`. Whether a change was made then is not known. A ``put`` with a ``dedupe_key`` can
        be repeated as long as its item is there; what a ``get`` did not bring comes back after its visibility.
    OSError
        By ``put``: the items are more than the server takes in one request (8 MiB of JSON).

    Notes
    -----
    Threads share it, and after a fork the child has connections of its own. What the server has delivered to a client
    that hung up meanwhile it gives back at once, and what a killed one had got after its visibility.

    It has no ``task_done`` and no ``join``: who else is at work is not known here; ``counts`` tells what waits and what
    is in flight. It has no ``shutdown`` and no ``close``, which its client and its server have, no ``flush``, as that
    is for the server's ``--durability``, and no iteration.
    """

    def __init__(self, asking: Asking, name: str, codec: Codec, making: Mapping[str, object]) -> None:
        self.name = name
        self._asking = asking
        self._path = queue_path(name)
        self._codec = codec
        self._form = Form(codec.name)
        self.dead_letters = RemoteDeadLetters(asking, name, self._kept)
        if making:
            members = {field: json.dumps(value) for field, value in making.items()}
            asking.ask("PUT", self._path, 201, 204, body=messages.body(members))

    # ---- putting

    def put(
        self,
        item: V,
        block: bool = True,
        timeout: float | None = None,
        *,
        delay: Seconds = 0,
        dedupe_key: str | None = None,
    ) -> None:
        """Put an item; wait for room. queue.Full where there is none in `timeout` seconds."""
        members = {"value": self._text(item)}
        if dedupe_key is not None:
            members["dedupe_key"] = json.dumps(dedupe_key)
        self._put(members, block, timeout, delay, again=dedupe_key is not None)

    def put_nowait(self, item: V) -> None:
        """Put an item, or raise queue.Full."""
        self.put(item, block=False)

    def put_many(
        self, items: Sequence[V], block: bool = True, timeout: float | None = None, *, delay: Seconds = 0
    ) -> None:
        """Put all items as one change, or none."""
        self._put({"values": f"[{','.join(map(self._text, items))}]"}, block, timeout, delay, again=False)

    def _put(self, members: dict[str, str], block: bool, timeout: float | None, delay: Seconds, *, again: bool) -> None:
        if delay:
            members["delay"] = repr(seconds(delay))
        for wait in _polls(block, timeout):
            body = messages.body(members | {"wait": repr(wait)})
            try:
                self._asking.ask("POST", f"{self._path}/put", 204, body=body, wait=wait, again=again)
            except Full:
                continue
            return
        raise Full

    # ---- getting

    def get(self, block: bool = True, timeout: float | None = None) -> Delivery[V]:
        """Return a delivery; wait for one. queue.Empty where there is none in `timeout` seconds."""
        return self.get_many(1, block, timeout)[0]

    def get_nowait(self) -> Delivery[V]:
        """Return a delivery, or raise queue.Empty."""
        return self.get(block=False)

    def get_many(self, count: int, block: bool = True, timeout: float | None = None) -> list[Delivery[V]]:
        """Return 1 to `count` deliveries, 1,000 at most, fewer where they are long; wait for the first.

        What this client's codec cannot read is left out and comes back after its visibility; a RuntimeWarning says so.
        CorruptValueError where it can read none of them.
        """
        for wait in _polls(block, timeout):
            body = messages.body({"count": json.dumps(min(count, MOST_AT_ONCE)), "wait": repr(wait)})
            answer = self._asking.ask("POST", f"{self._path}/get", 200, body=body, wait=wait, again=True)
            found = self._asking.document(answer)
            with understanding(self._asking.url):
                deliveries = list(map(self._delivery, cast(list[Document], found["deliveries"])))
            if deliveries:
                return self._read(deliveries)
        raise Empty

    def _delivery(self, told: Document) -> Delivery[bytes]:
        payload = self._form.payload_of(told["value"])
        return Delivery(payload, number(told, "id"), number(told, "deliveries"), float(cast(float, told["put_time"])))

    def _read(self, deliveries: list[Delivery[bytes]]) -> list[Delivery[V]]:
        """Return those whose payloads can be read: what is delivered is nobody else's, and is not to be dropped."""
        read: list[Delivery[V]] = []
        failed: list[tuple[int, Exception]] = []
        for payload, item, times, put_time in deliveries:
            try:
                read.append(Delivery(self._value(payload, item), item, times, put_time))
            except (CorruptValueError, ImportError, AttributeError) as error:  # pickle's: a class that is not here
                failed.append((item, error))
        if not read:
            raise failed[0][1]
        for item, why in failed:
            warnings.warn(f"item {item} of {self!r} is left out: {why}", RuntimeWarning, stacklevel=3)
        return read

    @contextmanager
    def processing(self, block: bool = True, timeout: float | None = None) -> Iterator[Delivery[V]]:
        """Get a delivery and acknowledge it at the end of the block; an exception in it gives the item back.

        Where its visibility passes in the block and somebody else gets it, neither happens, and nothing is raised.
        """
        delivery = self.get(block, timeout)
        try:
            yield delivery
        except BaseException:
            self.nack(delivery)
            raise
        self.ack(delivery)

    def ack(self, delivery: Delivery[V]) -> bool:
        """Remove what was delivered. False where it was given to somebody else since, or is gone."""
        return self._settle("ack", delivery)

    def nack(self, delivery: Delivery[V], *, delay: Seconds = 0) -> bool:
        """Give back what was delivered, to be had after `delay` seconds. False as in `ack`."""
        return self._settle("nack", delivery, delay=repr(seconds(delay)))

    def extend(self, delivery: Delivery[V], visibility: Seconds | None = None) -> bool:
        """Begin the visibility of what was delivered anew. False as in `ack`."""
        more = {} if visibility is None else {"visibility": repr(seconds(visibility))}
        return self._settle("extend", delivery, **more)

    def _settle(self, what: str, delivery: Delivery[V], **more: str) -> bool:
        body = messages.body({"id": str(delivery.id), "deliveries": str(delivery.deliveries), **more})
        found = self._asking.document(self._asking.ask("POST", f"{self._path}/{what}", 200, body=body))
        with understanding(self._asking.url):
            return bool(found["done"])

    # ---- looking

    def counts(self) -> Counts:
        """Return how many items are ready, delayed, in flight and dead."""
        about = self._about()
        return Counts(*(self._asking.understand(number, about, field) for field in Counts._fields))

    def qsize(self) -> int:
        """Return how many items are ready."""
        return self.counts().ready

    def empty(self) -> bool:
        """Return whether no item is ready."""
        return not self.qsize()

    def full(self) -> bool:
        """Return whether there is no room."""
        counts, maxsize = self.counts(), self.maxsize
        return 0 < maxsize <= counts.ready + counts.delayed

    @property
    def maxsize(self) -> int:
        """How many items have room, 0 where there is no end."""
        return self._asking.understand(number, self._about(), "maxsize")

    def _about(self) -> Document:
        answer = self._asking.ask("GET", self._path, 200, 404)
        if answer.status_code == 404:
            return dict.fromkeys(("maxsize", *Counts._fields), 0)
        return self._asking.document(answer)

    def peek(self) -> V:
        """Return the value that would be given next, without taking it, or raise queue.Empty."""
        found = self._asking.document(self._asking.ask("GET", f"{self._path}/peek", 200))
        with understanding(self._asking.url):
            payload = self._form.payload_of(found["value"]) if found["found"] else None
        if payload is None:
            raise Empty
        return self._value(payload, None)

    # ---- all of it

    def clear(self) -> int:
        """Remove every item, waiting, delayed or in flight, and return how many; dead letters stay."""
        return self._post("clear", "removed")

    def destroy(self) -> None:
        """Remove the queue with all that is in it; the next ``put`` by anybody makes it anew."""
        self._asking.ask("DELETE", self._path, 204, 404)

    def _post(self, what: str, member: str) -> int:
        found = self._asking.document(self._asking.ask("POST", f"{self._path}/{what}", 200))
        return self._asking.understand(number, found, member)

    def _text(self, item: V) -> str:
        return self._form.text(self._codec.dumps(item))

    def _value(self, payload: bytes, item: int | None) -> V:
        try:
            return cast(V, self._codec.loads(payload))
        except ValueError as error:
            raise CorruptValueError(item, "", f"the codec {self._codec.name!r} cannot read it: {error}") from error

    def _kept(self, payload: bytes) -> V:
        """Return the value of a payload as the server keeps it."""
        if self._codec is not JSON:
            payload = self._form.payload({"Content-Type": BYTES_TYPE}, cast(bytes, JSON.loads(payload)))
        return cast(V, self._codec.loads(payload))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} of {self._asking.url!r}>"


def _polls(block: bool, timeout: float | None) -> Iterator[float]:
    """Yield how many seconds the next request is to wait, until the time is over."""
    if not block:
        yield 0.0
        return
    if timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")
    end = math.inf if timeout is None else time.monotonic() + timeout
    left = end - time.monotonic()
    while True:
        yield max(0.0, min(left, POLL))
        left = end - time.monotonic()
        if left <= 0:
            return

"""The connections to Redis, one server or a cluster: `Links`."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence
from typing import Final, cast

from diskdict.backends.redis.address import Address
from diskdict.backends.redis.calls import Call, Command, Node, Pool, Reply, Request, Work, command, pool_of
from diskdict.backends.redis.refusals import key_slot, translated
from diskdict.errors import ClosedError

_PAUSE: Final = 0.05
"""Seconds between two attempts at a cluster that is choosing another primary."""
_FRESH: Final = 10.0
"""Seconds for which the time of a server is known without asking it again."""

PoolOf = Callable[[Node], Pool]
"""Gives the connections to a server."""


class Links:
    """The connections to what an address names.

    Parameters
    ----------
    address: Address
        What it is.
    pool_of: callable, optional
        Gives the connections to a server, which stay open at the end; by default they are made, and closed.

    Notes
    -----
    Threads share it. Nothing is asked twice that may have been done: a change whose connection was cut is a
    ConnectionError. Reading is repeated once, and in a cluster all that was not done is repeated as long as the timeout
    says: so another primary is waited for.
    """

    def __init__(self, address: Address, pool_of: PoolOf | None = None) -> None:
        self.address = address
        self._given = pool_of
        self._closed = False
        self._pools: dict[Node, Pool] = {}
        self._ranges: list[tuple[int, int, Node]] = []
        self._told = (-_FRESH, 0.0)

    def check_open(self) -> None:
        """Raise ClosedError after `close`."""
        if self._closed:
            raise ClosedError(f"this store at {self.address} is closed; open another")

    def ask(self, request: Request, *, reading: bool = False) -> Reply:
        """Return the answer to a request: what `ask_all` does, in less time where one server is all there is."""
        self.check_open()
        if self.address.cluster or self.address.wait:
            return self.ask_all([request], reading=reading)[0]
        begun = time.monotonic()
        node = self.address.nodes[0]
        call = Call(node, self._pool(node), [0], False)
        try:
            call.send([command(request)])
            call.receive(1)
        finally:
            call.end(1)
        if call.error is None and not isinstance(call.answers[0], Exception):
            return call.answers[0]
        work = Work([request], reading)
        return self._finished(work, work.take([call], 0), begun)[0]

    def ask_all(self, requests: Sequence[Request], *, reading: bool = False) -> list[Reply]:
        """Return the answer to each request, from each server in one round trip."""
        self.check_open()
        begun = time.monotonic()
        work = Work(requests, reading)
        return self._finished(work, self._try(work), begun)

    def _finished(self, work: Work, trouble: Exception | None, begun: float) -> list[Reply]:
        """Repeat what is left after a try, as far as that may mend it."""
        tries = 0
        while work.left:
            if trouble is not None:
                self.check_open()
                once_more = work.reading and not tries and not isinstance(trouble, TimeoutError)
                late = time.monotonic() > begun + self.address.timeout
                if late or not (self.address.cluster or once_more):
                    raise trouble
                tries += 1
                self._ranges = []
                if self.address.cluster:
                    time.sleep(_PAUSE)
            trouble = self._try(work)
        return work.replies

    def _try(self, work: Work) -> Exception | None:
        """Ask for what is left. Return why some still is, or raise what cannot be mended."""
        calls: list[tuple[Call, int]] = []
        try:
            for (node, elsewhere), numbers in self._routed(work).items():
                commands = self._commands(work, numbers, elsewhere)
                call = Call(node, self._pool(node), numbers, elsewhere)
                calls.append((call, len(commands)))
                call.send(commands)
            for call, count in calls:
                call.receive(count)
        except ConnectionError as error:  # of finding out who has what
            return error
        finally:
            for call, count in calls:
                call.end(count)
        return work.take([call for call, _ in calls], self.address.wait)

    def _commands(self, work: Work, numbers: list[int], elsewhere: bool) -> list[Command]:
        asked: list[Command] = []
        for number in numbers:
            if elsewhere:
                asked.append(("ASKING",))
            asked.append(work.command(number))
        if self.address.wait and not work.reading:
            asked.append(("WAIT", self.address.wait, max(1, int(self.address.timeout * 500))))
        return asked

    def _routed(self, work: Work) -> dict[tuple[Node, bool], list[int]]:
        found: dict[tuple[Node, bool], list[int]] = {}
        for number in work.left:
            node = work.elsewhere.get(number)
            where = (self._node_of(work.requests[number].key), False) if node is None else (node, True)
            found.setdefault(where, []).append(number)
        return found

    def _node_of(self, key: bytes) -> Node:
        if not self.address.cluster:
            return self.address.nodes[0]
        slot = key_slot(key)
        for _ in range(2):
            for first, last, node in self._ranges:
                if first <= slot <= last:
                    return node
            self._ranges = self._discovered()
        raise ConnectionError(errno.EHOSTUNREACH, f"the cluster is not up: nobody has slot {slot}", str(self.address))

    def _discovered(self) -> list[tuple[int, int, Node]]:
        trouble: Exception = ConnectionError(errno.EHOSTUNREACH, "the cluster has no slots", str(self.address))
        for node in dict.fromkeys([*self._pools, *self.address.nodes]):
            call = Call(node, self._pool(node), [0], False)
            try:
                call.send([("CLUSTER", "SLOTS")])
                call.receive(1)
            finally:
                call.end(1)
            answer = call.error or call.answers[0]
            if isinstance(answer, Exception):
                trouble = translated(answer, call.server)
                # The next to ask is another.
                self._pools[node] = self._pools.pop(node)
            elif answer:
                return [_range(entry, node) for entry in cast(list[list[object]], answer)]
        raise trouble

    def _pool(self, node: Node) -> Pool:
        found = self._pools.get(node)
        if found is None:
            made = pool_of(self.address, node) if self._given is None else self._given(node)
            found = self._pools.setdefault(node, made)
        return found

    def pool(self) -> Pool:
        """Return how connections to the one server are made."""
        return self._pool(self.address.nodes[0])

    def now(self) -> float:
        """Return the time of the server in seconds since the epoch, as it has told within the last ten seconds."""
        asked, there = self._told
        here = time.monotonic()
        if here - asked > _FRESH:
            reply = cast(list[bytes], self.ask(Request(b"", ("TIME",)), reading=True))
            here = asked = time.monotonic()
            there = int(reply[0]) + int(reply[1]) / 1e6
            self._told = asked, there
        return there + here - asked

    def renew(self) -> None:
        """Have connections of its own in a forked child."""
        self._pools = {}

    def close(self) -> None:
        """Close the connections. Closing twice does nothing."""
        self._closed = True
        if self._given is None:
            for pool in self._pools.values():
                pool.disconnect()


def _range(entry: list[object], asked: Node) -> tuple[int, int, Node]:
    first, last, primary = cast(tuple[int, int, list[object]], tuple(entry[:3]))
    host = cast(bytes | None, primary[0])
    return first, last, (host.decode() if host else asked[0], cast(int, primary[1]))

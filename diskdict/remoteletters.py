"""The dead letters of a queue of a server: `RemoteDeadLetters`."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Generic, TypeVar, cast

from diskdict.asking import Asking
from diskdict.messages import Document, number, queue_path
from diskdict.queues.dead import DeadLetter
from diskdict.refusals import understanding

V = TypeVar("V")

_PAGE: Final = 1_000


class RemoteDeadLetters(Mapping[int, DeadLetter[V]], Generic[V]):
    """The dead letters of a queue of a server by their ids, as ``dead_letters`` of a `DurableQueue`.

    Each look at one is a request; an iteration asks for a thousand ids at a time, each as it is by then. `loads` makes
    the value of a payload.
    """

    def __init__(self, asking: Asking, queue: str, loads: Callable[[bytes], V]) -> None:
        self._asking = asking
        self._queue = queue_path(queue)
        self._path = queue_path(queue, "dead")
        self._loads = loads

    def __getitem__(self, item: int) -> DeadLetter[V]:
        told = self._one("GET", item)
        with understanding(self._asking.url):
            return DeadLetter(
                number(told, "id"),
                base64.b64decode(cast(str, told["payload"]), validate=True),
                str(told["reason"]),
                number(told, "deliveries"),
                float(cast(float, told["put_time"])),
                float(cast(float, told["died"])),
                bool(told["damaged"]),
                self._loads,
            )

    def __delitem__(self, item: int) -> None:
        self._one("DELETE", item)

    def __iter__(self) -> Iterator[int]:
        first = 0
        while True:
            page = self._document("GET", f"{self._path}?limit={_PAGE}&from={first}")
            with understanding(self._asking.url):
                numbers = [number(letter, "id") for letter in cast(list[Document], page["dead"])]
            yield from numbers
            if len(numbers) < _PAGE:
                return
            first = numbers[-1] + 1

    def __len__(self) -> int:
        answer = self._asking.ask("GET", self._queue, 200, 404)
        if answer.status_code == 404:
            return 0
        return self._asking.understand(number, self._asking.document(answer), "dead")

    def requeue(self, item: int) -> int:
        """Put one anew, with no deliveries, and return its new id. ValueError where it cannot be decoded."""
        return self._asking.understand(number, self._one("POST", item, "/requeue"), "id")

    def requeue_all(self) -> int:
        """Put all anew, and return how many."""
        return self._asking.understand(number, self._document("POST", f"{self._queue}/requeue"), "requeued")

    def clear(self) -> int:
        """Remove all, and return how many."""
        return self._asking.understand(number, self._document("DELETE", self._path), "removed")

    def _one(self, method: str, item: int, action: str = "") -> Document:
        if type(item) is not int or item < 0:
            raise KeyError(item)
        answer = self._asking.ask(method, f"{self._path}/{item}{action}", 200, 204, 404)
        if answer.status_code == 404:
            raise KeyError(item)
        return {} if answer.status_code == 204 else self._asking.document(answer)

    def _document(self, method: str, path: str) -> Document:
        return self._asking.document(self._asking.ask(method, path, 200))

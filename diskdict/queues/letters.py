"""What a queue has given up, to look into, put again, or remove: `DeadLetters`."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from diskdict.queues.dead import DeadLetter, Graveyard

V = TypeVar("V")


class DeadLetters(Mapping[int, DeadLetter[V]]):
    """The dead letters of a queue by id, in the order in which they came. Use `DurableQueue.dead_letters`.

    Parameters
    ----------
    graveyard: Graveyard
        Where they are.
    loads, put: callable
        Decodes a payload; puts one into the queue and returns the id of the new item.

    Notes
    -----
    Threads may share it; it is open as long as its queue is. A process that is killed while an item dies, or is put
    again, leaves it here, or in the queue, or for once in both.
    """

    def __init__(self, graveyard: Graveyard, loads: Callable[[bytes], V], put: Callable[[bytes], int]) -> None:
        self._graveyard = graveyard
        self._loads = loads
        self._put = put

    def __getitem__(self, number: int) -> DeadLetter[V]:
        letter = self._graveyard.get(number, self._loads)
        if letter is None:
            raise KeyError(number)
        return letter

    def __iter__(self) -> Iterator[int]:
        return iter(self._graveyard)

    def __len__(self) -> int:
        return len(self._graveyard)

    def __delitem__(self, number: int) -> None:
        if not self._graveyard.delete(number):
            raise KeyError(number)

    def requeue(self, number: int) -> int:
        """Put a dead letter anew, as if it had never been given, and return the id that it has now.

        KeyError without such a letter, ValueError where it cannot be decoded, ``queue.Full`` without room.
        """
        letter = self[number]
        letter.value()
        new = self._put(letter.payload)
        self._graveyard.delete(number)
        return new

    def requeue_all(self) -> int:
        """Put all anew that can be decoded and compared, as far as there is room; return how many."""
        done = 0
        for number in list(self):
            try:
                self.requeue(number)
            except queue.Full:
                break
            except (KeyError, ValueError, TypeError):
                continue
            done += 1
        return done

    def clear(self) -> int:
        """Remove all; return how many."""
        return self._graveyard.clear()

"""Of the threads that wait for the disk, one syncs for all: `SharedSync`; and what a failed sync means: `Refusing`."""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from diskdict.errors import DurabilityError
from diskdict.files import Folder

_PATIENCE: Final = 0.01  # seconds after which who waits for a sync looks whether it has come to an end
_A_MOMENT: Final = 0.00002


class Refusing:
    """Files that can be changed until a sync of them has failed; ``failure`` is that."""

    data: Folder
    failure: DurabilityError | None = None

    @contextlib.contextmanager
    def refusal(self) -> Iterator[None]:
        """Have a sync that fails in the block be a DurabilityError, and the last: no change can be made any longer."""
        # The kernel reports a failed write-back once and then forgets it: asking again would be told all is well.
        try:
            yield
        except OSError as error:
            self.failure = DurabilityError(error.errno or 0, "a change may not survive a power cut", self.data.path)
            raise self.failure from error


class SharedSync:
    """Brings changes, numbered from 1, to the disk, with one sync for all that were made by then.

    Parameters
    ----------
    sync: callable
        Makes durable what was changed until it is called; raises OSError.
    reached: callable
        Gives the number of the last change that was made.

    Notes
    -----
    ``synced`` is the number through which all is on disk. Who holds ``turn``, and in it a `round`, keeps syncs away.
    """

    def __init__(self, sync: Callable[[], None], reached: Callable[[], int]) -> None:
        self._sync = sync
        self._reached = reached
        self._failure: OSError | None = None
        self._round = threading.Lock()
        self._served = 1
        self._took = 0.0
        self.turn = threading.Lock()
        self.synced = 0

    def through(self, number: int) -> None:
        """Return once all changes up to `number` are on disk.

        Raises OSError where that failed, and ever after: the kernel reports it once and then forgets it.
        """
        while self.synced < number:
            under_way = self._round
            if not self.turn.locked():
                with self.turn, self.round():
                    self._sync_in_turn(number)
            elif under_way.acquire(timeout=_PATIENCE):
                under_way.release()

    def _sync_in_turn(self, number: int) -> None:
        if self.synced >= number:
            return
        if self._failure is not None:
            raise OSError(self._failure.errno or errno.EIO, "an earlier sync has failed")
        self._gather()
        before, start = self.synced, time.monotonic()
        try:
            self.now()
        except OSError as error:
            self._failure = error
            raise
        self._served, self._took = self.synced - before, time.monotonic() - start

    def _gather(self) -> None:
        # Those whom the last sync has served are likely to come again: all in this one is worth half of its time.
        end = time.monotonic() + self._took / 2
        while self._reached() - self.synced < self._served and time.monotonic() < end:
            time.sleep(_A_MOMENT)

    def round(self) -> threading.Lock:
        """Return the lock to hold within ``turn``: those who come meanwhile wait for it, not for the next one's."""
        self._round = threading.Lock()
        return self._round

    def now(self) -> None:
        """Sync; the caller holds `turn`."""
        goal = self._reached()
        self._sync()
        self.synced = goal

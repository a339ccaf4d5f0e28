"""The lock page as a book: numbers handed out, and what was promised about the folder before it became true."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from diskdict.files import sync
from diskdict.lock import UNKNOWN, LockFile, Page

_BLOCK: Final = 1 << 20  # numbers reserved at a time: one durable write for a million changes


class Ledger:
    """Keeps the lock page of a store ahead of its files.

    Parameters
    ----------
    lockfile: LockFile or None
        Where the page is written; None for a store on read-only media.
    page: Page
        The page as it was taken over at opening.

    Notes
    -----
    All writes of the page are durable before the change that they announce begins. The caller holds the mutation lock.
    ``refusal`` is a context in which a sync that fails is the end of changes; who has the files says which.
    """

    refusal: Callable[[], AbstractContextManager[None]] = nullcontext

    def __init__(self, lockfile: LockFile | None, page: Page) -> None:
        self._lockfile = lockfile
        self.page = page
        self._last = page.ceiling

    @property
    def ceiling_known(self) -> bool:
        """Whether numbers can be handed out yet."""
        return self._last != UNKNOWN

    @property
    def last(self) -> int:
        """The number handed out last."""
        return self._last

    def start_above(self, number: int) -> None:
        """Hand out no number up to `number`."""
        self._last = max(self._last, number)

    def begin(self) -> None:
        """Say that the store is being changed, and reserve numbers, before the first change."""
        self._write(self.page._replace(clean=False, ceiling=self._last + _BLOCK))

    def next(self) -> int:
        """Return a number that was never handed out, greater than all before."""
        if self._last >= self.page.ceiling:
            self.begin()
        self._last += 1
        return self._last

    def expect_expiry(self) -> None:
        """Say that files may expire."""
        if not self.page.expiring:
            self._write(self.page._replace(expiring=True))

    def expect_sidecars(self) -> None:
        """Say that values may have sidecars."""
        if not self.page.sidecars:
            self._write(self.page._replace(sidecars=True))

    def trust(self) -> None:
        """Say that every value was found whole after an unclean end."""
        if self.page.suspect:
            self._write(self.page._replace(suspect=False))

    def end(self) -> None:
        """Say that everything is on disk. Not durable itself: lost, it costs only a check."""
        if self._lockfile is not None and not self.page.clean:
            self._lockfile.write(self.page._replace(clean=True))

    def _write(self, page: Page) -> None:
        if self._lockfile is not None:
            self._lockfile.write(page)
            with self.refusal():
                sync(self._lockfile.fd)
        self.page = page

    def release(self) -> None:
        """Give the lock back."""
        if self._lockfile is not None:
            self._lockfile.release()

    def abandon(self) -> None:
        """Let go of the lock of a parent process."""
        if self._lockfile is not None:
            self._lockfile.abandon()

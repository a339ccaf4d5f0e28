"""Hearing of changes to a store: `Listener`, and `Telling` for the stores that tell."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol, runtime_checkable


class Listener(Protocol):
    """Who is told of changes, by any thread."""

    def changed(self, keys: Collection[str]) -> None:
        """Know that these keys were changed, by whomever."""

    def reset(self, *, told: bool) -> None:
        """Know that anything may have been changed; `told` says whether changes are told from now on."""


@runtime_checkable
class Telling(Protocol):
    """A store that may hear of what others change."""

    def tell(self, listener: Listener) -> bool:
        """Tell one listener of changes, from when it says so by ``reset`` on; return whether this can be done.

        It is not kept alive by that.
        """

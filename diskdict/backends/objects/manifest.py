"""The object that says what a store is: `Manifest`."""

from __future__ import annotations

import json
import threading
from typing import Final

from diskdict.backends.objects.bucket import Bucket
from diskdict.errors import FormatError
from diskdict.store import ABSENT

NAME: Final = "diskdict.json"
_FORMAT: Final = 1


class Manifest:
    """Sees to it that all who use a bucket and prefix have one format and one codec.

    Parameters
    ----------
    bucket: Bucket
        Where it is.
    codec: str
        The name of the codec.
    """

    def __init__(self, bucket: Bucket, codec: str) -> None:
        self._bucket = bucket
        self._codec = codec
        self._turn = threading.Lock()
        self._asked = False
        self._agreed = False

    def meet(self) -> None:
        """Raise FormatError where there is a store of another kind; one that is not there yet may become any."""
        if not self._asked:
            with self._turn:
                self._agreed = self._agreed or self._found()
                self._asked = True

    def make(self) -> None:
        """Do what `meet` does, and make it where there is none."""
        if not self._agreed:
            with self._turn:
                while not self._agreed and not self._found():
                    self._make()
                self._asked = self._agreed = True

    def _make(self) -> None:
        text = json.dumps({"format": _FORMAT, "codec": self._codec}) + "\n"
        conditions = self._bucket.understood().conditions
        self._bucket.put(NAME, text.encode(), only_if=ABSENT if conditions else None)

    def _found(self) -> bool:
        seen = self._bucket.get(NAME)
        if seen is None:
            return False
        try:
            said = json.loads(seen.body)
            kind = said["format"], said["codec"]
        except (ValueError, TypeError, KeyError) as error:
            raise FormatError(f"{self._bucket.server}: {NAME} is none of a store of diskdict") from error
        if kind[0] != _FORMAT:
            raise FormatError(f"{self._bucket.server}: the store has format {kind[0]!r}, this is {_FORMAT}")
        if kind[1] != self._codec:
            raise FormatError(f"{self._bucket.server}: the store has the codec {kind[1]!r}, not {self._codec!r}")
        return True

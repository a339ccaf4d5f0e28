"""What a request makes its answer depend on: ``If-Match`` and ``If-None-Match``, whose tags are versions."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, NamedTuple

from starlette.requests import Request

from diskdict.server.problems import bad_request
from diskdict.server.served import Holds
from diskdict.server.wire import header

_TAGS: Final = re.compile(r'\s*(?:(W/)?"([\x21\x23-\x7e\x80-\xff]*)"|(\*))\s*(?:,|$)')


class Conditions(NamedTuple):
    """What ``If-Match`` and ``If-None-Match`` say, None where they are not there."""

    match: set[str] | None
    none_match: set[str] | None

    @property
    def holds(self) -> Holds | None:
        """What tells whether a change may be made; None where every change may."""
        return None if self == (None, None) else lambda version: self.refusal(version) is None

    def refusal(self, version: int | None) -> int | None:
        """Return the status with which to refuse by the version that is there: 412 or, to readers, 304."""
        if self.match is not None and not _among(version, self.match):
            return 412
        return 304 if self.none_match is not None and _among(version, self.none_match) else None


_NO_CONDITIONS: Final = Conditions(None, None)


def conditions_of(request: Request) -> Conditions:
    """Return what a request makes its answer depend on."""
    match, none_match = header(request, b"if-match"), header(request, b"if-none-match")
    if match is None and none_match is None:
        return _NO_CONDITIONS
    return Conditions(
        None if match is None else _tags(match, weak=False),
        None if none_match is None else _tags(none_match, weak=True),
    )


def _among(version: int | None, tags: Collection[str]) -> bool:
    return version is not None and ("*" in tags or str(version) in tags)


def _tags(header: str, *, weak: bool) -> set[str]:
    found: set[str] = set()
    place = 0
    while place < len(header):
        tag = _TAGS.match(header, place)
        if tag is None:
            raise bad_request('If-Match and If-None-Match are * or versions in quotes, "1", "2"')
        if weak or not tag[1]:
            found.add(tag[3] or tag[2])
        place = tag.end()
    if place == 0:
        raise bad_request("If-Match and If-None-Match name at least one version, or *")
    return found

"""Records as the text of one JSON document and back: a pure pair, `entry` and `assembled` against `read`.

::

    {
      "diskdict": {"format": 1, "codec": "json", "last": 3},
      "keys": {
        "app.db.host": {"value": "localhost", "created_at": "2026-11-21T18:25:18.25Z", "order": 1},
        "photo": {"base64": "iVBORw0K", "created_at": "2026-11-21T18:26:00Z", "order": 2, "version": 3}
      }
    }

A line has a key, in the order of insertion. A payload that is JSON stands there as it is, any other in base64. Times
are UTC. What is not there: ``expires_at`` without a time-to-live, ``updated_at`` where it is ``created_at``,
``version`` where it is ``order``, ``metadata`` and ``spelling`` where there are none. Of what people add, ``value`` is
enough.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple, cast

import ujson

from diskdict import jsontext, tags
from diskdict.errors import FormatError
from diskdict.store import NEVER, Record

FORMAT: Final = 1
_MARKED: Final = "$str:"
"""What begins a text that UTF-8 does not have, in Python's escapes; or one that begins so itself."""
_FIRST: Final = frozenset(b'{["-0123456789tfn')
_YEAR_10000: Final = 253_402_300_800
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)")
_NUMBERS: Final = frozenset({"order", "version"})
_FIELDS: Final = _NUMBERS | {
    *("value", "base64", "created_at", "updated_at", "expires_at", "metadata", "metadata_text", "spelling")
}


class Document(NamedTuple):
    """What a file holds: the codec of its values, the last number that was given, records in order."""

    codec: str
    last: int
    records: dict[str, Record]


def entry(key: str, record: Record) -> str:
    """Return the line of a record."""
    payload, order, created, updated, expires, version, meta, spelling = record
    text = _plain(payload)
    parts = [f'"base64": "{base64.b64encode(payload).decode()}"' if text is None else f'"value": {text}']
    parts.append(f'"created_at": {_time(created)}')
    if updated != created:
        parts.append(f'"updated_at": {_time(updated)}')
    if expires != NEVER:
        parts.append(f'"expires_at": {_time(expires)}')
    if meta is not None:
        text = _plain(meta.encode("utf-8", "surrogatepass")) if meta.startswith("{") else None
        parts.append(f'"metadata_text": {_quoted(meta)}' if text is None else f'"metadata": {text}')
    if spelling is not None:
        parts.append(f'"spelling": {_quoted(spelling)}')
    parts.append(f'"order": {order}')
    if version != order:
        parts.append(f'"version": {version}')
    return f"{_quoted(key)}: {{{', '.join(parts)}}}"


def assembled(codec: str, last: int, entries: Iterable[str]) -> bytes:
    """Return the content of a file."""
    head = f'{{"format": {FORMAT}, "codec": {_quoted(codec)}, "last": {last}}}'
    lines = ",\n    ".join(entries)
    keys = f"{{\n    {lines}\n  }}" if lines else "{}"
    return f'{{\n  "diskdict": {head},\n  "keys": {keys}\n}}\n'.encode()


def read(content: bytes, path: str, changed: float) -> Document:
    """Return what the content of the file at `path` says, that was `changed` last then.

    FormatError where it was cut, is no JSON or that of somebody else, or of a later version of this.
    """
    try:
        document = jsontext.parse(jsontext.decoded(content), unique=True)
    except jsontext.TextError as error:
        raise FormatError(f"{path} is damaged, or no JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("diskdict"), dict):
        raise FormatError(f"{path} is no store: there is no {'diskdict'!r} in it; give another path")
    head = document["diskdict"]
    if head.get("format") != FORMAT:
        raise FormatError(f"{path} has format {head.get('format')!r}; this version reads format {FORMAT}")
    try:
        _only(document, frozenset({"diskdict", "keys"}))
        _only(head, frozenset({"format", "codec", "last"}))
        codec, last = cast(str, _the(str, head["codec"])), _number(head["last"], least=0)
        return _Reading(last, changed).document(codec, cast(dict[str, object], _the(dict, document["keys"])))
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise FormatError(f"{path} cannot be understood: {_said(error)}") from error


class _Reading:
    """Reads entries, and numbers those that have no number yet."""

    def __init__(self, last: int, changed: float) -> None:
        self._last = last
        self._changed = changed
        self._taken: set[int] = set()

    def document(self, codec: str, entries: dict[str, object]) -> Document:
        given = [
            found[name] for found in entries.values() if isinstance(found, dict) for name in _NUMBERS & found.keys()
        ]
        self._last = max([self._last, *map(_number, given)])
        records: dict[str, Record] = {}
        for name, found in entries.items():
            try:
                key = _text(name)
                if key in records:
                    raise ValueError("it is there twice, once with escapes")
                records[key] = self._record(found)
            except (ValueError, TypeError, KeyError, OverflowError) as error:
                raise ValueError(f"the entry {name!r}: {_said(error)}") from error
        in_order = sorted(records.items(), key=lambda item: item[1].order)
        return Document(codec, self._last, dict(in_order))

    def _record(self, found: object) -> Record:
        fields = cast(dict[str, object], _the(dict, found))
        _only(fields, _FIELDS)
        if ("value" in fields) == ("base64" in fields):
            raise ValueError("it has to have either 'value' or 'base64'")
        order = self._order(fields)
        version = _number(fields["version"]) if "version" in fields else order
        created = _seconds(fields["created_at"]) if "created_at" in fields else self._changed
        updated = _seconds(fields["updated_at"]) if "updated_at" in fields else created
        expires = _seconds(fields["expires_at"]) if "expires_at" in fields else NEVER
        spelling = _text(fields["spelling"]) if "spelling" in fields else None
        return Record(_payload(fields), order, created, updated, expires, version, _meta(fields), spelling)

    def _order(self, fields: dict[str, object]) -> int:
        order = _number(fields["order"]) if "order" in fields else None
        # A line that was copied by hand has the number of another.
        if order is None or order in self._taken:
            self._last += 1
            order = self._last
        self._taken.add(order)
        return order


def _payload(fields: dict[str, object]) -> bytes:
    if "value" in fields:
        return _json(fields["value"]).encode()
    return base64.b64decode(cast(str, _the(str, fields["base64"])), validate=True)


def _meta(fields: dict[str, object]) -> str | None:
    if "metadata_text" in fields:
        return _text(fields["metadata_text"])
    return _json(_the(dict, fields["metadata"])) if "metadata" in fields else None


def _json(value: object) -> str:
    return ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False, allow_nan=False)


def _plain(payload: bytes) -> str | None:
    """Return a payload as it is to stand in the file, None where it would not be the same when it is read."""
    if not payload or payload[0] not in _FIRST:
        return None
    try:
        text = payload.decode()
        return text if _json(jsontext.parse(text, unique=True)) == text else None
    except (ValueError, OverflowError):
        return None


def _quoted(text: str) -> str:
    if text.startswith(_MARKED) or not _is_unicode(text):
        text = _MARKED + text.encode("unicode_escape").decode()
    return _json(text)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(quoted: object) -> str:
    text = cast(str, _the(str, quoted))
    if text.startswith(_MARKED):
        return cast(str, tags.untag({"$str": text.removeprefix(_MARKED)}))
    return text


def _time(seconds: float) -> str:
    whole, _, fraction = repr(seconds).partition(".")
    # The digits of repr are as many as it takes; what it writes with an exponent has no date.
    if not (0 <= seconds < _YEAR_10000 and whole.isdigit() and fraction.isdigit()):
        return _json(seconds)
    date = datetime.fromtimestamp(int(whole), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f'"{date}Z"' if fraction == "0" else f'"{date}.{fraction}Z"'


def _seconds(time: object) -> float:
    if isinstance(time, str):
        found = _TIME.fullmatch(time)
        if found is None:
            raise ValueError(f"a time is as '2026-11-21T18:25:18Z', not {time!r}")
        whole = int(datetime.fromisoformat(found[1] + found[3]).timestamp())
        return float(f"{whole}{found[2] or ''}")
    if isinstance(time, bool) or not isinstance(time, (int, float)) or not time >= 0:
        raise ValueError(f"a time is a text, or seconds from 0, not {time!r}")
    return float(time)


def _only(fields: dict[str, object], known: frozenset[str]) -> None:
    unknown = sorted(fields.keys() - known)
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r}; there are {', '.join(sorted(known))}")


def _the(kind: type, found: object) -> object:
    if type(found) is not kind:
        raise TypeError(f"{kind.__name__} expected, not {found!r}")
    return found


def _number(found: object, least: int = 1) -> int:
    number = cast(int, _the(int, found))
    if number < least:
        raise ValueError(f"a number from {least}, not {number}")
    return number


def _said(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)

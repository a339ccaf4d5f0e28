"""The URL of a store in Elasticsearch, read: `Address`."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from diskdict.repeating import checked_interval

INDEX: Final = "diskdict"
TIMEOUT: Final = 30.0

_PORT: Final = 9200
_PARAMETERS: Final = ("timeout", "api_key", "ca")
_NAME: Final = re.compile(r'[^-_+.A-Z\s"*\\/<|>,?#:][^A-Z\s"*\\/<|>,?#:]*')
_LONGEST_NAME: Final = 255


class Address(NamedTuple):
    """Where a store is, and how it is spoken to.

    ``name`` is that of the index. ``timeout`` is seconds for an answer. ``api_key`` stands in place of user and
    password. ``ca`` is the path of the certificates to trust, those of the system if it is None.
    """

    host: str
    port: int = _PORT
    name: str = INDEX
    tls: bool = False
    username: str | None = None
    password: str | None = None
    timeout: float = TIMEOUT
    api_key: str | None = None
    ca: str | None = None

    def __repr__(self) -> str:
        return f"<Address {self}>"  # without the password

    def __str__(self) -> str:
        return f"elasticsearch{'+https' * self.tls}://{self._place}/{self.name}"

    @property
    def server(self) -> str:
        """The URL of the server."""
        return f"http{'s' * self.tls}://{self._place}"

    @property
    def _place(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parsed(url: str) -> Address:
    """Return what a URL says.

    ``elasticsearch://[user:password@]host[:port][/index]``, or ``elasticsearch+https:``. Parameters after a ``?`` are
    ``timeout``, ``api_key`` and ``ca``, as in `Address`. Anything else is a ValueError.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _wrong(url, str(error)) from None
    if parts.scheme not in ("elasticsearch", "elasticsearch+https") or parts.fragment or not host:
        raise _wrong(url, "it begins with elasticsearch: or elasticsearch+https:, has a host, and no #")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = [name for name in given if name not in _PARAMETERS]
    if unknown:
        raise _wrong(url, f"unknown parameter {unknown[0]!r}; there are {', '.join(_PARAMETERS)}")
    index = unquote(parts.path.strip("/")) or INDEX
    if not _NAME.fullmatch(index) or len(index.encode("utf-8", "replace")) > _LONGEST_NAME:
        raise _wrong(url, "the path is the name of an index: lower case, 255 bytes at most, not beginning with - _ + .")
    address = Address(
        host,
        port or _PORT,
        index,
        parts.scheme.endswith("https"),
        None if parts.username is None else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
        _seconds(url, given.get("timeout", str(TIMEOUT))),
        given.get("api_key"),
        given.get("ca"),
    )
    if address.ca is not None and not address.tls:
        raise _wrong(url, "ca= is for elasticsearch+https:")
    if address.api_key is not None and address.username is not None:
        raise _wrong(url, "api_key= stands in place of user and password")
    return address


def _seconds(url: str, given: str) -> float:
    try:
        return checked_interval("timeout", float(given))
    except ValueError as error:
        raise _wrong(url, str(error)) from None


def _wrong(url: str, why: str) -> ValueError:
    shown = re.sub(r"//[^@/]*@", "//…@", url)
    return ValueError(f"{re.sub('api_key=[^&]*', 'api_key=…', shown)!r} is no URL of a store in Elasticsearch: {why}")

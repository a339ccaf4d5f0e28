"""The URL of a store in Redis, read: `Address`."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from diskdict.repeating import checked_interval

PREFIX: Final = "diskdict:"
TIMEOUT: Final = 30.0
CONNECTIONS: Final = 50

_PORT: Final = 6379
_PARAMETERS: Final = ("prefix", "wait", "timeout", "connections", "ca")


class Address(NamedTuple):
    """Where a store is, and how it is spoken to.

    ``prefix`` begins the name of every key. ``wait`` is how many replicas must have a change before it is acknowledged.
    ``timeout`` is seconds for a connection, and for an answer. ``connections`` is how many there are to a server at
    most. ``ca`` is the path of the certificates to trust, those of the system if it is None.
    """

    nodes: tuple[tuple[str, int], ...]
    cluster: bool = False
    tls: bool = False
    username: str | None = None
    password: str | None = None
    database: int = 0
    prefix: str = PREFIX
    wait: int = 0
    timeout: float = TIMEOUT
    connections: int = CONNECTIONS
    ca: str | None = None

    def __repr__(self) -> str:
        return f"<Address {self}>"  # without the password

    def __str__(self) -> str:
        nodes = ",".join(named(*node) for node in self.nodes)
        return f"redis{'s' * self.tls}{'+cluster' * self.cluster}://{nodes}"


def named(host: str, port: int) -> str:
    """Return how people write the address of a server."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parsed(url: str) -> Address:
    """Return what a URL says.

    ``redis://[[user]:password@]host[:port][/database]``, or ``rediss:`` for TLS; ``redis+cluster:`` and
    ``rediss+cluster:`` take several hosts with commas between them, and no database. Parameters after a ``?`` are
    ``prefix``, ``wait``, ``timeout``, ``connections`` and ``ca``, as in `Address`. Anything else is a ValueError.
    """
    parts = urlsplit(url)
    scheme, cluster, _ = parts.scheme.partition("+cluster")
    if scheme not in ("redis", "rediss") or parts.fragment:
        raise _wrong(url, "it begins with redis: or rediss:, with +cluster or without, and has no #")
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    nodes = tuple(_node(host, url) for host in hosts.split(","))
    if len(nodes) > 1 and not cluster:
        raise _wrong(url, "several servers are a cluster: redis+cluster:")
    database = parts.path.strip("/")
    if database and (cluster or not database.isdecimal()):
        raise _wrong(url, "the path is the number of a database, and a cluster has but one")
    address = Address(
        nodes,
        bool(cluster),
        scheme == "rediss",
        unquote(username) or None,
        unquote(password) or None,
        int(database or 0),
    )
    return _with(address, parts.query, url)


def _node(text: str, url: str) -> tuple[str, int]:
    try:
        found = urlsplit(f"//{text}")
        host, port = found.hostname, found.port
    except ValueError as error:
        raise _wrong(url, str(error)) from None
    if not host:
        raise _wrong(url, "a host is missing")
    return host, port or _PORT


def _with(address: Address, query: str, url: str) -> Address:
    given = dict(parse_qsl(query, keep_blank_values=True))
    unknown = [name for name in given if name not in _PARAMETERS]
    if unknown:
        raise _wrong(url, f"unknown parameter {unknown[0]!r}; there are {', '.join(_PARAMETERS)}")
    try:
        address = address._replace(
            prefix=given.get("prefix", PREFIX),
            wait=int(given.get("wait", 0)),
            timeout=checked_interval("timeout", float(given.get("timeout", TIMEOUT))),
            connections=int(given.get("connections", CONNECTIONS)),
            ca=given.get("ca"),
        )
    except ValueError as error:
        raise _wrong(url, str(error)) from None
    if address.wait < 0 or address.connections < 1:
        raise _wrong(url, "wait= is a number of replicas, connections= one above 0")
    if address.ca is not None and not address.tls:
        raise _wrong(url, "ca= is for rediss:")
    return address


def _wrong(url: str, why: str) -> ValueError:
    credentials, at, _ = url.partition("//")[2].rpartition("@")
    shown = url.replace(credentials + at, "…@", 1) if at else url
    return ValueError(f"{shown!r} is no URL of a store in Redis: {why}")

"""Where a store is, said as a backend and its settings, or as a URL: `address_of`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from diskdict.compression import NAMES

Config = Mapping[str, object]

JSON: Final = "json"
FOLDER: Final = "folder"


class Address(NamedTuple):
    """A URL, and what else is said of a store in files: whether it is one or a folder, and how it is compressed."""

    url: str
    format: str | None = None
    compression: str | None = None


class _Server(NamedTuple):
    """How the URL of a server is made: its scheme, the setting that is the path, those that are the query."""

    scheme: str
    path: str
    query: tuple[str, ...]


_SERVERS: Final = {
    "redis": _Server("redis", "db", ("prefix",)),
    "postgres": _Server("postgresql", "database", ("table",)),
    "elasticsearch": _Server("elasticsearch", "index", ("api_key", "timeout")),
}
_BUCKETS: Final = {
    "s3": _Server("s3", "bucket", ("prefix", "region", "endpoint")),
    "gcs": _Server("gs", "bucket", ("prefix", "endpoint")),
    "azure": _Server("az", "bucket", ("prefix", "endpoint", "account")),
}
_LOCAL: Final = {
    "memory": frozenset[str](),
    "file": frozenset({"path", "format", "compression"}),
    "url": frozenset({"url"}),
}
_CHOICES: Final = {"format": (JSON, FOLDER), "compression": NAMES}
_SERVER_SETTINGS: Final = frozenset({"host", "port", "user", "password"})


def address_of(backend: str, config: Config | None) -> Address:
    """Return where a store is; ValueError for a backend or a setting that there is not."""
    given = dict(config or {})
    server, bucket = _SERVERS.get(backend), _BUCKETS.get(backend)
    if server is None and bucket is None and backend not in _LOCAL:
        raise ValueError(f"no backend {backend!r}; there are {', '.join(map(repr, [*_LOCAL, *_SERVERS, *_BUCKETS]))}")
    if bucket is not None:
        known = frozenset({bucket.path, *bucket.query})
    else:
        known = _LOCAL[backend] if server is None else _SERVER_SETTINGS | {server.path, *server.query}
    unknown = sorted(map(str, given.keys() - known))
    if unknown:
        raise ValueError(f"the backend {backend!r} has no setting {unknown[0]!r}; it has {', '.join(sorted(known))}")
    if server is not None:
        return Address(_of_server(server, given))
    if bucket is not None:
        return Address(f"{bucket.scheme}://{_quoted(_text(backend, given))}{_query(bucket, given)}")
    if backend == "file":
        form, compression = (_choice(given, name, choices) for name, choices in _CHOICES.items())
        return Address(_text(backend, given), form, compression)
    return Address("memory:" if backend == "memory" else _text(backend, given))


def _of_server(server: _Server, given: Config) -> str:
    user, password = given.get("user"), given.get("password")
    account = _quoted(user) if user is not None else ""
    if password is not None:
        account += f":{_quoted(password)}"
    port = f":{given['port']}" if "port" in given else ""
    place = f"{account}@" if account else ""
    path = _quoted(given.get(server.path, ""))
    return f"{server.scheme}://{place}{given.get('host', 'localhost')}{port}/{path}{_query(server, given)}"


def _quoted(setting: object) -> str:
    from urllib.parse import quote  # takes a while to load, and only URLs need it

    return quote(str(setting), safe="")


def _query(server: _Server, given: Config) -> str:
    from urllib.parse import urlencode

    query = urlencode({name: str(given[name]) for name in server.query if name in given})
    return f"?{query}" if query else ""


def _text(backend: str, given: Config) -> str:
    name = "bucket" if backend in _BUCKETS else "path" if backend == "file" else "url"
    if name not in given:
        raise ValueError(f"the backend {backend!r} takes config={{{name!r}: …}}")
    return str(given[name])


def _choice(given: Config, name: str, choices: tuple[str, ...]) -> str | None:
    found = given.get(name)
    if found is None or found in choices:
        return found
    raise ValueError(f"{name} is one of {', '.join(map(repr, choices))}, or None, not {found!r}")

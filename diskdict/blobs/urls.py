"""A blob store and its wrappers as one line of configuration: `open_blobs`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from diskdict import ids
from diskdict.blobs.compressed import Compressed
from diskdict.blobs.face import Blobs
from diskdict.blobs.store import BlobStore
from diskdict.blobs.wrappers import HashIds, Prefixed, ReadOnly, UrlEncodedKeys, UuidIds

_BOOLEANS: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def _boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueError(f"not yes or no: {text!r}")
    return _BOOLEANS[text.lower()]


def _made(text: str) -> ids.MakeId:
    if text not in ids.BY_NAME:
        raise ValueError(f"no ids {text!r}; there are {', '.join(ids.BY_NAME)}")
    return ids.BY_NAME[text]


_FOLDER: Final[dict[str, Callable[[str], object]]] = {
    "perm": lambda text: int(text, 8),
    "durability": str,
    "readonly": _boolean,
    "create": _boolean,
    "timeout": float,
}
_STORE: Final[dict[str, tuple[str, Callable[[str], object]]]] = {
    "keys": ("keys", str),
    "ids": ("ids", _made),
    "ttl": ("default_ttl_secs", float),
    "urls": ("url", str),
}
_WRAPPERS: Final[dict[str, Callable[[Blobs, str], Blobs]]] = {
    "readonly": lambda store, _: ReadOnly(store),
    "urlencode": lambda store, _: UrlEncodedKeys(store),
    "prefix": Prefixed,
    "hashids": lambda store, template: HashIds(store, template or "{}"),
    "uuidids": lambda store, template: UuidIds(store, template or "{}"),
    "compress": lambda store, method: Compressed(store, method or None),  # type: ignore[arg-type]  # it checks
}
_WITHOUT_ARGUMENT: Final = frozenset({"readonly", "urlencode"})


def open_blobs(url: str) -> Blobs:
    """Return the blob store that a URL names, in the wrappers it names.

    ``file:///data?perm=0600&wrap=readonly,urlencode``: a URL as `diskdict.open_store` takes it, with

    * ``wrap=``: wrappers with a comma between them, each around those before it: ``readonly``, ``urlencode``,
      ``prefix:TEXT``, ``hashids``, ``uuidids`` (each also ``:TEMPLATE``), ``compress`` (also ``:gzip``, ``:zstd``);
      what needs a secret is wrapped by code;
    * ``keys=``, ``ids=`` (the name of one of `diskdict.ids`), ``ttl=`` (seconds), ``urls=`` (a prefix): ``keys``,
      ``ids``, ``default_ttl_secs`` and ``url`` of `BlobStore`;
    * for a folder ``perm=`` (octal), ``durability=``, ``readonly=``, ``create=``, ``timeout=``.

    ValueError for anything else, ReadOnlyError and the like as the store and its wrappers raise them.
    """
    parts = urlsplit(url)
    settings: dict[str, object] = {}
    wraps, left = [], []
    for name, text in parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)):
        if name == "wrap":
            wraps += text.split(",")
        elif name in _STORE:
            setting, read = _STORE[name]
            settings[setting] = _setting(name, text, read)
        elif name in _FOLDER and parts.scheme in ("file", ""):
            settings[name] = _setting(name, text, _FOLDER[name])
        else:
            left.append((name, text))
    wrapping = [_wrapping(wrap) for wrap in wraps]
    place = urlunsplit(parts._replace(query=urlencode(left, quote_via=quote)))
    store: Blobs = BlobStore(place, **settings)  # type: ignore[arg-type]  # each is read by its name
    try:
        for wrapper, argument in wrapping:
            store = wrapper(store, argument)
    except BaseException:
        store.close()
        raise
    return store


def _setting(name: str, text: str, read: Callable[[str], object]) -> object:
    try:
        return read(text)
    except ValueError as error:
        raise ValueError(f"{name}={text!r} in the URL of a blob store: {error}") from None


def _wrapping(wrap: str) -> tuple[Callable[[Blobs, str], Blobs], str]:
    name, colon, argument = wrap.partition(":")
    if name not in _WRAPPERS:
        raise ValueError(f"no wrapper {name!r}; there are {', '.join(_WRAPPERS)}")
    if colon and name in _WITHOUT_ARGUMENT:
        raise ValueError(f"the wrapper {name!r} takes nothing behind a colon")
    return _WRAPPERS[name], argument

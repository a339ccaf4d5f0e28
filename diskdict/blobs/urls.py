"""A blob store and its wrappers as one line of configuration: `open_blobs`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from diskdict import ids
from diskdict.backends import scheme_of
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
_WITHOUT_PARTS: Final = frozenset({"file", "memory"})


def open_blobs(url: str) -> Blobs:
    """Return the blob store that a URL names, in the wrappers it names.

    ``file:///data?perm=0600&wrap=readonly,urlencode``: a URL as `diskdict.open_store` takes it, with

    * ``wrap=``: wrappers with a comma between them, each around those before it: ``readonly``, ``urlencode``,
      ``prefix:TEXT``, ``hashids``, ``uuidids`` (each also ``:TEMPLATE``), ``compress`` (also ``:gzip``, ``:zstd``);
      what needs a secret is wrapped by code;
    * ``keys=``, ``ids=`` (the name of one of `diskdict.ids`), ``ttl=`` (seconds), ``urls=`` (a prefix): ``keys``,
      ``ids``, ``default_ttl_secs`` and ``url`` of `BlobStore`;
    * for a folder ``perm=`` (octal), ``durability=``, ``readonly=``, ``create=``, ``timeout=``;
    * for a server what `diskdict.open_store` takes there.

    What stands for itself though it has a meaning here is percent-encoded, a comma as ``%2C``; ``+`` is no space.
    ValueError for any other part and for one that comes twice, ReadOnlyError and the like as the store and its wrappers
    raise them.

    Examples
    --------
    >>> with open_blobs("memory:?wrap=urlencode,prefix:tmp/") as blobs:
    ...     blobs.put("any text, at all", b"...")
    ...     blobs.store.store.keys()
    'any text, at all'
    ['tmp%2Fany%20text%2C%20at%20all']
    """
    if not isinstance(url, str):
        raise TypeError(f"a URL is a str, not {url!r}; BlobStore takes paths")
    place, _, query = url.partition("?")
    scheme = scheme_of(place)
    if "#" in url:
        raise ValueError("the URL of a blob store has no fragment; a # that belongs to a name is %23")
    settings: dict[str, object] = {}
    wrapping, left = [], []
    for part in query.split("&") if query else ():
        name, equals, text = part.partition("=")
        if name == "wrap":
            wrapping += [_wrapping(wrap) for wrap in text.split(",")]
        elif name in _STORE or (name in _FOLDER and scheme == "file"):
            setting, read = _STORE.get(name) or (name, _FOLDER[name])
            if setting in settings or not equals:
                raise ValueError(f"{name}= comes twice or without a value in the URL of a blob store")
            settings[setting] = _setting(name, unquote(text, errors="strict"), read)
        elif scheme in _WITHOUT_PARTS:
            raise ValueError(f"unknown part {name!r} in the URL of a blob store; there are {', '.join(_known(scheme))}")
        else:
            left.append(part)
    store: Blobs = BlobStore("?".join([place, "&".join(left)] if left else [place]), **settings)  # type: ignore[arg-type]  # each is read by its name
    try:
        for wrapper, argument in wrapping:
            store = wrapper(store, argument)
    except BaseException:
        store.close()
        raise
    return store


def _known(scheme: str) -> list[str]:
    return ["wrap", *_STORE, *(_FOLDER if scheme == "file" else ())]


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
    return _WRAPPERS[name], unquote(argument, errors="strict")

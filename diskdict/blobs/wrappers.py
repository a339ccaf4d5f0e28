"""Wrappers that change keys, or what may be done: the wrapped store comes first, and any of them may wrap any other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Literal
from urllib.parse import quote, unquote

from diskdict import ids
from diskdict.blobs.face import Blobs
from diskdict.blobs.layers import Terms, TtlSecs
from diskdict.blobs.streams import Draft
from diskdict.errors import InvalidKeyError, ReadOnlyError
from diskdict.store import Stat


class Wrapper(Blobs):
    """A store that hands everything on to the one it wraps, for wrappers to change a part of it.

    Parameters
    ----------
    store: Blobs
        The one that is wrapped. Closing the wrapper closes it.
    """

    def __init__(self, store: Blobs) -> None:
        if not isinstance(store, Blobs):
            raise TypeError(f"{type(self).__name__} wraps a BlobStore or a wrapper of one, not {store!r}")
        self.store = store

    def inner(self, key: str) -> str:
        """Return what a key is in the wrapped store."""
        return key

    def outer(self, key: str) -> str | None:
        """Return what a key of the wrapped store is here, None where it is none."""
        return key

    def inner_prefix(self, prefix: str) -> str:
        """Return what keys that begin with `prefix` here begin with in the wrapped store."""
        return self.inner(prefix)

    def check(self, key: object) -> str:
        if type(key) is not str or not key:
            raise InvalidKeyError(f"a key is a str that is not empty, not {key!r}")
        self.store.check(self.inner(key))
        return key

    def terms(self, terms: Terms) -> Terms:
        """Return terms as the wrapped store is told them."""
        return terms if terms.instead_of is None else terms._replace(instead_of=self.inner(terms.instead_of))

    def reading(self, key: str) -> BinaryIO | None:
        return self.store.reading(self.inner(key))

    def writing(self, key: str, terms: Terms) -> Draft:
        return self.store.writing(self.inner(key), self.terms(terms))

    def stat(self, key: str) -> Stat | None:
        return self.store.stat(self.inner(key))

    def remove(self, key: str) -> bool:
        return self.store.remove(self.inner(key))

    def names(self, prefix: str) -> Iterator[str]:
        for key in self.store.names(self.inner_prefix(prefix)):
            found = self.outer(key)
            if found is not None and found.startswith(prefix):
                yield found

    def moving(self, source: str, target: str) -> bool:
        return self.store.moving(self.inner(source), self.inner(target))

    def prolong(self, key: str, ttl: TtlSecs) -> bool:
        return self.store.prolong(self.inner(key), ttl)

    def make_id(self, content: BinaryIO) -> str:
        return self.store.make_id(content)

    def location(self, key: str) -> str:
        return self.store.location(self.inner(key))

    @property
    def default_ttl_secs(self) -> TtlSecs:
        return self.store.default_ttl_secs

    @default_ttl_secs.setter
    def default_ttl_secs(self, ttl: TtlSecs) -> None:
        self.store.default_ttl_secs = ttl

    def close(self) -> None:
        self.store.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.store!r})"


class Prefixed(Wrapper):
    """The keys of a store that begin with a prefix, without it.

    Parameters
    ----------
    store: Blobs
    prefix: str
        What stands before each key in the wrapped store.

    Examples
    --------
    >>> from diskdict import BlobStore
    >>> store = BlobStore("memory:")
    >>> Prefixed(store, "ada-").put("letter", b"Dear Charles")
    'letter'
    >>> store.keys(), Prefixed(store, "bob-").keys()
    (['ada-letter'], [])
    """

    def __init__(self, store: Blobs, prefix: str) -> None:
        super().__init__(store)
        if type(prefix) is not str or not prefix:
            raise ValueError(f"a prefix is a str that is not empty, not {prefix!r}")
        self.prefix = prefix

    def inner(self, key: str) -> str:
        return self.prefix + key

    def outer(self, key: str) -> str | None:
        return key.removeprefix(self.prefix) if key.startswith(self.prefix) and key != self.prefix else None


class UrlEncodedKeys(Wrapper):
    """Any text as a key, over a store that takes less: letters, digits and ``_.-~`` as they are, else ``%2F``.

    Parameters
    ----------
    store: Blobs

    Examples
    --------
    >>> from diskdict import BlobStore
    >>> store = BlobStore("memory:")
    >>> UrlEncodedKeys(store).put("letters/to Charles", b"Dear Charles")
    'letters/to Charles'
    >>> store.keys()
    ['letters%2Fto%20Charles']
    """

    def inner(self, key: str) -> str:
        return quote(key.encode("utf-8", "surrogatepass"), safe="")

    def outer(self, key: str) -> str | None:
        try:
            found = unquote(key, errors="surrogatepass")
        except UnicodeDecodeError:
            return None
        return found if self.inner(found) == key else None


class ReadOnly(Wrapper):
    """A store that nobody can change here: each attempt is a ReadOnlyError, and nothing is done.

    Parameters
    ----------
    store: Blobs
        It can be changed by whoever has it.
    """

    def writing(self, key: str, terms: Terms) -> Draft:  # noqa: ARG002
        raise _refused("write", key)

    def remove(self, key: str) -> bool:
        raise _refused("delete", key)

    def moving(self, source: str, target: str) -> bool:  # noqa: ARG002
        raise _refused("move", source)

    def prolong(self, key: str, ttl: TtlSecs) -> bool:  # noqa: ARG002
        raise _refused("write", key)

    @property
    def default_ttl_secs(self) -> TtlSecs:
        return self.store.default_ttl_secs

    @default_ttl_secs.setter
    def default_ttl_secs(self, ttl: TtlSecs) -> None:  # noqa: ARG002
        raise ReadOnlyError("this store is only to be read: it does not set default_ttl_secs, which others write by")


def _refused(what: str, key: str) -> ReadOnlyError:
    return ReadOnlyError(f"this store is only to be read: it does not {what} {key!r}")


class _MadeIds(Wrapper):
    """A wrapper that makes the keys of ``put(None, …)``: `template` has ``{}`` where the made part goes."""

    def __init__(self, store: Blobs, template: str, make: ids.MakeId) -> None:
        super().__init__(store)
        if template.count("{}") != 1:
            raise ValueError(f"a template has {{}} once, where the id goes, not {template!r}")
        self.template = template
        self._make = make

    def make_id(self, content: BinaryIO) -> str:
        return self.template.replace("{}", self._make(content))


class HashIds(_MadeIds):
    """Keys for ``put(None, …)`` of the content: the same content twice is stored once.

    Parameters
    ----------
    store: Blobs
    template: str
        Of the keys that are made, and only of those, with ``{}`` for the hash.
    digest: "sha256" or "blake2b"

    Notes
    -----
    What is there under the key of a content is taken to be that content, and lives on as if it were put again.

    Examples
    --------
    >>> from diskdict import BlobStore
    >>> pictures = HashIds(BlobStore("memory:"), "img-{}.png")
    >>> pictures.put(None, b"...") == pictures.put(None, b"...")
    True
    >>> [len(key) for key in pictures]
    [72]
    """

    def __init__(self, store: Blobs, template: str = "{}", *, digest: Literal["sha256", "blake2b"] = "sha256") -> None:
        if digest not in ("sha256", "blake2b"):
            raise ValueError(f'digest is "sha256" or "blake2b", not {digest!r}')
        super().__init__(store, template, ids.BY_NAME[digest])


class UuidIds(_MadeIds):
    """Keys for ``put(None, …)`` by chance (version 4) or by time and chance (7).

    Parameters
    ----------
    store: Blobs
    template: str
        Of the keys that are made, and only of those, with ``{}`` for the UUID.
    version: 4 or 7
    """

    def __init__(self, store: Blobs, template: str = "{}", *, version: Literal[4, 7] = 4) -> None:
        if version not in (4, 7):
            raise ValueError(f"version is 4 or 7, not {version!r}")
        super().__init__(store, template, ids.uuid4 if version == 4 else ids.uuid7)

"""Objects of a bucket, by obstore, and what its service understands: `Bucket`."""

from __future__ import annotations

import errno
import secrets
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeVar

from diskdict.backends.objects.refusals import LOST, translating
from diskdict.errors import ClosedError
from diskdict.lock import abandon_after_fork
from diskdict.store import ABSENT, Mark

try:
    import obstore
    from obstore.store import AzureStore, GCSStore, MemoryStore, S3Store
except ImportError as error:
    raise ImportError("a store of objects needs obstore: pip install diskdict-store[objects]") from error

if TYPE_CHECKING:
    from obstore import Attributes, GetOptions, GetResult, PutMode, WritableFile
    from obstore.store import ObjectStore as Client

T = TypeVar("T")

BESIDE: Final = "diskdict"
"""The name of the field of metadata."""

_ROOM: Final = 2_000
"""Bytes of metadata: S3 takes 2,048, the others more."""
_PIECE: Final = 1 << 24
PART: Final = 1 << 23
"""Bytes that are sent at a time of what comes piece by piece."""
_AT_A_TIME: Final = 2
_SORTED: Final = (S3Store, GCSStore, AzureStore, MemoryStore)
_UNSORTED_BUCKETS: Final = "--x-s3"
_PROBE: Final = "probe"
_SIGNED_FOR: Final = timedelta(hours=1)
_WRONG: Final = "0" * 32


class _Runtime:
    """The threads of obstore, which a forked child has not, and would wait for."""

    def __init__(self) -> None:
        self._started = False
        self.lost = False

    def start(self) -> None:
        if not self._started:
            self._started = True
            abandon_after_fork(self)

    def abandon(self) -> None:
        self.lost = True


_runtime: Final = _Runtime()


class Stamp(NamedTuple):
    """Which state of an object is meant: its ETag without quotes, and its generation where the service counts them."""

    tag: str
    generation: str | None


class Seen(NamedTuple):
    """An object: its state, when the service made it in seconds since the epoch, what stands beside it, its bytes."""

    stamp: Stamp
    modified: float
    beside: str | None
    body: bytes


class Understood(NamedTuple):
    """What a service does: keep conditions, and with which form of ETag; keep metadata."""

    conditions: bool
    quoted: bool
    metadata: bool


Condition = Stamp | Literal[Mark.ABSENT] | None


class Bucket:
    """Objects below a prefix.

    Parameters
    ----------
    client: obstore store
        What speaks to the service.
    prefix: str
        What all names begin with: segments with a slash between them, or nothing.
    server: str
        What errors call it.

    Notes
    -----
    Threads may share it. Errors are those of Python, see `refusals`.
    """

    def __init__(self, client: Client, prefix: str, server: str) -> None:
        self._client: Client | None = client
        self._before = f"{prefix}/" if prefix else ""
        self.server = server
        self._probing = threading.Lock()
        self._understood: Understood | None = None
        name = str(getattr(client, "config", {}).get("bucket", ""))
        self.is_sorted = isinstance(client, _SORTED) and not name.endswith(_UNSORTED_BUCKETS)

    def close(self) -> None:
        """Let go of the client. ClosedError is raised afterwards."""
        self._client = None

    def client(self) -> Client:
        """Return the client."""
        if _runtime.lost:
            raise ClosedError("obstore does not work in a process forked from one that used it; start it by spawn")
        if self._client is None:
            raise ClosedError("the store is closed; open it again")
        _runtime.start()
        return self._client

    def _ask(self, ask: Callable[[], T]) -> T:
        with translating(self.server):
            return ask()

    # ---- objects

    def get(self, name: str, *, head: bool = False) -> Seen | None:
        """Return an object, without its bytes if `head`; None where none is."""
        found = self.result(name, head=head)
        return None if found is None else self._ask(lambda: _seen(found, head))

    def result(self, name: str, *, head: bool = False, part: tuple[int, int] | None = None) -> GetResult | None:
        """Return what obstore gives for an object, or a `part` of it from byte to byte; None where none is.

        The bytes are still to come.
        """
        client = self.client()
        options: GetOptions = {"head": head} if part is None else {"range": part}
        try:
            return self._ask(lambda: obstore.get(client, self._before + name, options=options))
        except FileNotFoundError as error:
            if error.errno == errno.ENOENT:  # obstore gives no number for an object
                raise
            return None

    def signed(self, name: str) -> str:
        """Return a URL by which anybody can read an object for an hour. ValueError where the service has none."""
        client = self.client()
        if not isinstance(client, (S3Store, GCSStore, AzureStore)):
            raise ValueError(f"{self.server} has no URLs that anybody could read; give url=, a prefix or a function")
        with translating(self.server):
            return obstore.sign(client, "GET", self._before + name, _SIGNED_FOR)

    def in_pieces(self, name: str, size: int) -> bytes | None:
        """Return the bytes of an object that is never changed, by as many requests as it takes; None where none is."""
        client, path = self.client(), self._before + name
        pieces: list[bytes] = []
        for begin in range(0, size, _PIECE):
            try:
                with translating(self.server):
                    found = obstore.get_range(client, path, start=begin, end=min(begin + _PIECE, size))
            except FileNotFoundError as error:
                if error.errno == errno.ENOENT:
                    raise
                return None
            pieces.append(found.to_bytes())
        return b"".join(pieces)

    def put(self, name: str, body: bytes, beside: str = "", *, only_if: Condition = None) -> Stamp | None:
        """Write an object; None where the condition does not hold, or the service does not know such conditions."""
        understood = self.understood()
        attributes: Attributes = {BESIDE: beside} if understood.metadata and 0 < len(beside) <= _ROOM else {}
        return self._put(name, body, attributes, only_if, understood.quoted)

    def _put(self, name: str, body: bytes, attributes: Attributes, only_if: Condition, quoted: bool) -> Stamp | None:
        client, path = self.client(), self._before + name
        mode = _mode(only_if, quoted)
        try:
            done = self._ask(lambda: obstore.put(client, path, body, attributes=attributes or None, mode=mode))
        except (*LOST, FileNotFoundError) as error:
            # A state of what is not there any more.
            if only_if is None or (isinstance(error, FileNotFoundError) and error.errno == errno.ENOENT):
                raise
            return None
        return _stamp(done["e_tag"], done["version"])

    def writer(self, name: str) -> WritableFile:
        """Return a file that is an object once it is closed, and until then, beyond a part, an unfinished upload."""
        client = self.client()
        return self._ask(
            lambda: obstore.open_writer(client, self._before + name, buffer_size=PART, max_concurrency=_AT_A_TIME)
        )

    def copy(self, name: str, to: str) -> bool:
        """Have the service copy an object; return whether it has: some copy none above a size."""
        client = self.client()
        if isinstance(client, AzureStore):
            # It may answer before it has.
            return False
        try:
            self._ask(lambda: obstore.copy(client, self._before + name, self._before + to))
        except OSError:
            return False
        return True

    def delete(self, name: str) -> None:
        """Remove an object, whatever its state is by then. One that is not there is no error."""
        client = self.client()
        try:
            self._ask(lambda: obstore.delete(client, self._before + name))
        except FileNotFoundError as error:
            if error.errno == errno.ENOENT:
                raise

    def names(self, folder: str, after: str | None = None) -> Iterator[tuple[str, Stamp, float]]:
        """Yield names in a folder, and state and time of each; sorted if `is_sorted`, and those that come `after`."""
        client = self.client()
        offset = None if after is None else self._before + after
        pages = self._ask(lambda: obstore.list(client, self._before + folder, offset=offset, chunk_size=1_000))
        while True:
            page = self._ask(lambda: next(pages, None))
            if page is None:
                return
            for found in page:
                name = found["path"].removeprefix(self._before)
                yield name, _stamp(found["e_tag"], found["version"]), found["last_modified"].timestamp()

    # ---- what the service understands

    def understood(self) -> Understood:
        """Return what the service does, found out by an object of its own before the first change."""
        if self._understood is None:
            with self._probing:
                self._understood = self._understood or self._probe()
        return self._understood

    def _probe(self) -> Understood:
        name = f"{_PROBE}/{secrets.token_hex(8)}"
        first = self._tried(name, {BESIDE: _PROBE})
        metadata = first is not None
        try:
            if first is None:
                first = self._put(name, b"", {}, None, True)
            wrong = Stamp(_WRONG, first and first.generation and "1")
            keeps = all(self._tried(name, {}, refused) is None for refused in (ABSENT, wrong))
            accepted = [quoted for quoted in (True, False) if keeps and self._tried(name, {}, first, quoted)][:1]
            return Understood(bool(accepted), accepted != [False], metadata)
        finally:
            self.delete(name)

    def _tried(self, name: str, attributes: Attributes, only_if: Condition = None, quoted: bool = True) -> Stamp | None:
        try:
            return self._put(name, b"", attributes, only_if, quoted)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            return None


def _seen(found: GetResult, head: bool) -> Seen:
    meta = found.meta
    body = b"" if head else found.bytes().to_bytes()
    stamp = _stamp(meta["e_tag"], meta["version"])
    return Seen(stamp, meta["last_modified"].timestamp(), found.attributes.get(BESIDE), body)


def _stamp(tag: str | None, generation: str | None) -> Stamp:
    return Stamp((tag or "").strip('"'), generation)


def _mode(only_if: Condition, quoted: bool) -> PutMode:
    if only_if is None:
        return "overwrite"
    if only_if is ABSENT:
        return "create"
    tag = f'"{only_if.tag}"' if quoted else only_if.tag
    if only_if.generation is None:
        return {"e_tag": tag}
    return {"e_tag": tag, "version": only_if.generation}

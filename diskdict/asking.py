"""Requests to a server and what may come of them: `Asking`. All of httpx is in here."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from ssl import SSLContext
from typing import Final, ParamSpec, TypeVar

import ujson

from diskdict.errors import ClosedError
from diskdict.messages import PROBLEM_TYPE, Document
from diskdict.refusals import Problem, problem_of, refusal, understanding
from diskdict.repeating import checked_interval

try:
    import httpx
except ImportError as error:
    raise ImportError("a client of the server needs httpx: pip install diskdict-store[client]") from error

Answer = httpx.Response
P = ParamSpec("P")
T = TypeVar("T")

_IDLE: Final = 3.0
"""Seconds that a connection is kept without use: fewer than servers keep it, so that it rarely ends just then."""
_DROPPED: Final = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.CloseError)
_ANSWERS: Final = {404: "KeyNotFoundError", 409: "KeyExistsError", 412: "ConflictError"}
"""Refusals that may be what was asked for, if they have that name."""


@contextmanager
def vendor_errors(url: str) -> Iterator[None]:
    """Turn what httpx raises into errors of this package and of Python, which name the URL."""
    try:
        yield
    except (httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise TimeoutError(errno.ETIMEDOUT, "no connection in time", url) from error
    except httpx.TimeoutException as error:
        what = "no answer in time; whether a change was made is not known"
        raise TimeoutError(errno.ETIMEDOUT, what, url) from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise ValueError(f"{url!r} is no URL of a server: {error}") from error
    except httpx.ConnectError as error:
        raise _unreachable(error, url) from error
    except (httpx.HTTPError, httpx.StreamError, httpx.CookieConflict) as error:
        raise ConnectionError(errno.ECONNRESET, f"{error or type(error).__name__}", url) from error


def _unreachable(error: BaseException, url: str) -> ConnectionError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens there", url)
        cause = cause.__cause__ or cause.__context__
    return ConnectionError(errno.EHOSTUNREACH, str(error), url)


class Asking:
    """The connections to one server.

    Parameters
    ----------
    url: str
        Where the server is: ``http://host:port``, and a path, if it is below one.
    token: str, optional
        What it asks for.
    timeout: float
        Seconds to wait for a connection, and for each piece of an answer.
    socket: str, optional
        The path of a Unix socket to use in place of the host and port in `url`.
    context: ssl.SSLContext, optional
        What https trusts.

    Notes
    -----
    Threads share it. Proxies that the environment names are not used, redirections not followed.
    """

    def __init__(
        self, url: str, *, token: str | None, timeout: float, socket: str | None, context: SSLContext | None
    ) -> None:
        self.url = _checked(url)
        self._headers = {} if token is None else {"Authorization": f"Bearer {_token(token)}"}
        self._timeout = checked_interval("timeout", timeout)
        self._socket = socket
        self._context = context
        self._closed = False
        self.known = False
        self._dated: str | None = ""
        self._ahead = 0.0
        self._connections = self._connected()

    def _connected(self) -> httpx.Client:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=_IDLE)
        # To load what https trusts by default takes longer than many requests.
        verify = self._context or self.url.startswith("https:")
        return httpx.Client(
            headers=self._headers,
            timeout=self._timeout,
            transport=httpx.HTTPTransport(verify=verify, trust_env=False, limits=limits, uds=self._socket),
            trust_env=False,
        )

    def renew(self) -> None:
        """Have connections of its own in a forked child: on those of the parent, what both send would be mixed."""
        if not self._closed:
            self._connections = self._connected()

    def check_open(self) -> None:
        """Raise ClosedError after `close`."""
        if self._closed:
            raise ClosedError(f"this client of {self.url} is closed; make another")

    def ask(
        self,
        method: str,
        path: str,
        *answers: int,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: tuple[str, bytes] | None = None,
        wait: float = 0.0,
        again: bool = False,
    ) -> Answer:
        """Return the answer to a request, whose status is one of `answers`; raise what any other says.

        `body` is its type and its bytes. `key` is what a refusal is about. `wait` is how many seconds the server may
        take before it begins to answer, `again` says that the request may be made twice.
        """
        given = dict(headers or {})
        if body is not None:
            given["Content-Type"] = body[0]
        start = time.time()
        again = again or method in ("GET", "HEAD")
        answer = self._sent(method, path, given, None if body is None else body[1], wait, again)
        self._see_date(answer.headers.get("Date"), start)
        if answer.status_code not in answers or not self._is_genuine(answer):
            raise refusal(answer.status_code, _problem(answer), self.url, key)
        self.known = self.known or method != "HEAD"
        return answer

    def _sent(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, wait: float, again: bool
    ) -> Answer:
        self.check_open()
        timeout = httpx.Timeout(self._timeout, read=self._timeout + wait)
        with vendor_errors(self.url):
            request = self._connections.build_request(
                method, self.url + path, headers=headers, content=body, timeout=timeout
            )
            try:
                return self._connections.send(request)
            except _DROPPED as error:
                self.check_open()
                # Ended while it lay idle, most of the time. What might be done twice is not asked for twice.
                if not (again or "If-Match" in headers or "If-None-Match" in headers):
                    raise self._cut() from error
            except RuntimeError:
                self.check_open()
                raise
            try:
                answer = self._connections.send(request)
            except _DROPPED as error:
                raise error if again else self._cut() from error
            if not again and answer.status_code in (404, 412):
                # Perhaps it is the first request that has changed the version.
                raise self._cut()
            return answer

    def _cut(self) -> ConnectionError:
        what = "the connection was cut, and whether the change was made is not known"
        return ConnectionError(errno.ECONNRESET, what, self.url)

    def _is_genuine(self, answer: Answer) -> bool:
        """Tell whether a refusal is the server's of which one asked for it, not that of a page that is not there."""
        status = answer.status_code
        if status in _ANSWERS and answer.request.method != "HEAD":
            return _problem(answer).get("title") == _ANSWERS[status]
        return True

    def understand(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what is read in an answer. ConnectionError, where that is none of diskdict's."""
        with understanding(self.url):
            return read(*args, **kwargs)

    def document(self, answer: Answer) -> Document:
        """Return the JSON object that an answer is."""
        with understanding(self.url):
            found = ujson.loads(answer.content)
            if not isinstance(found, dict):
                raise TypeError("no JSON object")
            return found

    def now(self) -> float:
        """Return the time of the server: that of this machine, unless its answers are dated otherwise."""
        if self._dated == "":
            self.ask("GET", "/healthz", 200)
        return time.time() + self._ahead

    def _see_date(self, date: str | None, start: float) -> None:
        # The date is cut to seconds and may be made but once a second: within two of them the clocks agree.
        if date == self._dated:
            return
        self._dated = date
        try:
            there = parsedate_to_datetime(date or "").timestamp()
        except ValueError:
            return
        if not (start + self._ahead < there + 2 and time.time() + self._ahead > there):
            self._ahead = there + 1 - time.time()

    def close(self) -> None:
        """Close the connections. Closing twice does nothing."""
        self._closed = True
        self._connections.close()


def _checked(url: str) -> str:
    with vendor_errors("what was given"):
        parts = httpx.URL(url)
    if parts.userinfo:
        raise ValueError("a URL with a name and password; give token= instead")
    if parts.scheme not in ("http", "https") or not parts.host or parts.query or parts.fragment:
        raise ValueError(f"the URL of a server is http://host:port or https://host, not {url!r}")
    return url.rstrip("/")


def _token(token: str) -> str:
    if not (isinstance(token, str) and token and token.isascii() and token.isprintable() and " " not in token):
        raise ValueError("a token is one word of printable ASCII")
    return token


def _problem(answer: Answer) -> Problem:
    kind = answer.headers.get("Content-Type", "").partition(";")[0]
    return problem_of(answer.content if kind == PROBLEM_TYPE else b"")

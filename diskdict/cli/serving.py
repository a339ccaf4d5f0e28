"""The command serve: the store over HTTP."""

from __future__ import annotations

import argparse
import ipaddress
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from diskdict import Limits
from diskdict.cli.access import codec_hint, manifest_of
from diskdict.cli.failures import FINE, UsageError
from diskdict.cli.parsing import BYTES, STORE, Commands, Options, count, not_negative
from diskdict.cli.screen import visible
from diskdict.datastore import LIMITS
from diskdict.messages import LONGEST_DELAY
from diskdict.queues.items import MOST_DELIVERIES

if TYPE_CHECKING:
    from diskdict.server import ServedDict

PORT: Final = 8765
_SHORTEST_TOKEN: Final = 16


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add("serve", serve, "serve the store to other processes over HTTP, and as a page", _EXAMPLES)
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="127.0.0.1; any other needs a token")
    parser.add_argument("--port", type=_port, default=PORT, metavar="N", help=f"{PORT}; 0 takes one that is free")
    parser.add_argument("--unix-socket", metavar="FILE", help="listen there instead, for this user alone")
    parser.add_argument("--token-file", metavar="FILE", help="what is in it has to come with every request")
    parser.add_argument("--limits", type=_limits, metavar="CHARS,BYTES,BYTES", help=_LIMITS)
    parser.add_argument("--durability", choices=("process", "interval", "full"), default="process")
    parser.add_argument("--allow-host", action="append", default=[], metavar="NAME", help="a name of this server")
    parser.add_argument("--cors", action="append", default=[], metavar="ORIGIN", help="whose pages may ask, too")
    parser.add_argument("--max-body", type=count, default=64 << 20, metavar="BYTES", help="64 MiB unless said")
    parser.add_argument("--cache-bytes", type=count, default=32 << 20, metavar="N", help="values to keep in memory")
    parser.add_argument("--backups", metavar="FOLDER", help="for POST /v1/backup; without it STORE.backups")
    parser.add_argument("--queues", metavar="FOLDER", help="where the queues are; without it STORE.queues")
    parser.add_argument("--visibility", type=_visibility, default=60.0, metavar="SECONDS", help=_VISIBILITY)
    parser.add_argument("--max-deliveries", type=_deliveries, metavar="N", help=_DELIVERIES)


def serve(options: Options) -> int:
    """Serve until the process is told to end."""
    try:
        from diskdict import server
    except ImportError as error:
        raise UsageError(f"{error.name} is not installed; pip install 'diskdict-store[server]'") from None
    settings = server.Settings(
        token=_token(options),
        hosts=tuple(options.allow_host),
        origins=tuple(options.cors),
        max_body=options.max_body,
        backups=_folder(options.backups),
        queues=_folder(options.queues),
        visibility=options.visibility,
        max_deliveries=options.max_deliveries,
    )
    with ExitStack() as stack:
        if options.unix_socket is not None:
            sock = stack.enter_context(server.unix_socket(options.unix_socket))
            where = f"the socket {options.unix_socket}"
        else:
            sock = stack.enter_context(server.listen(options.host, options.port))
            host, port = sock.getsockname()[:2]
            where = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        served = stack.enter_context(_opened(options))
        said = f"serving {visible(str(served.path))} on {visible(where)}"
        server.run(server.application(served, settings), sock, lambda: print(said, file=sys.stderr, flush=True))  # noqa: T201
    return FINE


def _folder(path: str | None) -> str | None:
    return None if path is None else os.path.abspath(path)


def _opened(options: Options) -> ServedDict:
    from diskdict.blobs.store import Exact
    from diskdict.server import ServedBlobs, ServedDict, ServedObjects

    if options.codec == "pickle":
        raise UsageError("a store of pickles is not served: what comes from elsewhere would run as code")
    place = options.store or os.environ.get(STORE) or _own_store()
    found = manifest_of(os.fspath(place))
    has_files = found.kind == "blobs" if found is not None else options.codec == BYTES
    if has_files and options.limits is not None:
        raise UsageError("--limits makes a store of JSON objects, and this one has files by key (kind 'blobs')")
    kind = ServedBlobs if has_files else ServedDict if options.limits is None else ServedObjects
    with codec_hint():
        return kind(
            place,
            codec=Exact() if has_files else options.codec,
            limits=options.limits,
            durability=options.durability,
            cache_bytes=options.cache_bytes,
            timeout=options.timeout,
            cleanup_interval=60.0,
        )


def _own_store() -> Path:
    import platformdirs  # takes as long to load as all of the package, and only this needs it

    return platformdirs.user_data_path("diskdict", appauthor=False) / "served"


def _token(options: Options) -> str | None:
    if options.token_file is None:
        if options.unix_socket is None and not _is_loopback(options.host):
            raise UsageError(f"{options.host} can be reached from elsewhere: say with --token-file who may ask")
        return None
    token = Path(options.token_file).read_text(encoding="utf-8", errors="surrogateescape").strip()
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(f"{options.token_file}: a token is {_SHORTEST_TOKEN} or more characters of ASCII, in one line")
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _port(text: str) -> int:
    port = count(text)
    if port > 65_535:
        raise argparse.ArgumentTypeError(f"a port is a number to 65535, not {text!r}")
    return port


def _visibility(text: str) -> float:
    found = not_negative(text)
    if not 0 < found <= LONGEST_DELAY:
        raise argparse.ArgumentTypeError(f"a visibility is a number of seconds above 0, not {text!r}")
    return found


def _deliveries(text: str) -> int:
    found = count(text)
    if not 1 <= found <= MOST_DELIVERIES:
        raise argparse.ArgumentTypeError(f"deliveries are counted from 1 to {MOST_DELIVERIES}, not {text!r}")
    return found


def _limits(text: str) -> Limits:
    """Return the limits of a DataStore."""
    try:
        key_chars, value_bytes, total_bytes = map(count, text.split(","))
        return Limits(key_chars, value_bytes, total_bytes, LIMITS.json_object_only, LIMITS.str_keys_only)
    except (ValueError, argparse.ArgumentTypeError):
        wanted = "limits are three numbers from 1, as in 32,16384,1073741824"
        raise argparse.ArgumentTypeError(f"{wanted}, not {text!r}") from None


_VISIBILITY: Final = "what a new queue has delivered comes back after so long if nobody acknowledges it; 60"
_DELIVERIES: Final = "what comes back after so many deliveries goes to a new queue's dead letters; as often as it may"
_LIMITS: Final = "serve a DataStore: JSON objects, at most so many characters a key, bytes a value, bytes in all"
_EXAMPLES: Final = """\
diskdict serve --store ~/inventory
curl localhost:8765/v1/keys/apple
curl -X PUT localhost:8765/v1/keys/apple --json '{"colour": "red"}'
diskdict serve --limits 32,16384,1073741824 --port 9000
diskdict serve --store ~/inventory --queues ~/queues --visibility 300
diskdict serve --store ~/uploads
diskdict serve --host 0.0.0.0 --token-file ~/token --allow-host inventory.example
Files by key, which BlobStore("http://localhost:8765") stores and gives, pass through memory: see --max-body.
The page is at the address that is printed. Without --store it is a store in the user's data folder.
Ctrl-C and SIGTERM end it: what is under way is finished, then the store is closed."""

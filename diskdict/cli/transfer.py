"""Commands that carry a store somewhere else by way of a file: export, import."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

from diskdict import KeyExistsError
from diskdict.cli import foreign, lines, printing
from diskdict.cli.access import Dict, to_fill, to_read
from diskdict.cli.failures import FINE, UsageError
from diskdict.cli.foreign import KINDS, LINES, Pickles
from diskdict.cli.parsing import Commands, Options, add_json
from diskdict.cli.screen import bar
from diskdict.cli.source import Carried, Item, Source, chunks

_SOME = 100


def add(commands: Commands) -> None:
    """Add the commands."""
    parser = commands.add("export", export, "write all keys as JSON lines", _EXPORT)
    parser.add_argument("file", metavar="FILE|-", nargs="?", default="-", help="- or nothing is stdout")

    parser = commands.add("import", import_, "store what an export, or a store of another package, holds", _IMPORT)
    parser.add_argument("file", metavar="FILE|-", nargs="?", default="-", help="- or nothing is stdin")
    parser.add_argument("--from", dest="kind", choices=(LINES, *KINDS), help="what it is; without it, found by looking")
    parser.add_argument(
        "--on-conflict",
        choices=("error", "skip", "overwrite", "fail"),
        default="overwrite",
        help="what to do with keys that are there; overwrite unless said; fail is an older word for error",
    )
    parser.add_argument("--allow-pickle", action="store_true", help="read pickles, which may run any code")
    add_json(parser)


def export(options: Options) -> int:
    """Write a line for each key."""
    shown = options.file != "-" or not sys.stdout.isatty()
    with to_read(options) as d, _written(options.file) as file, bar("exporting", "keys", shown=shown) as told:
        total = len(d)
        file.write(lines.header(total).encode() + b"\n")
        for done, entry in enumerate(d.entries(), 1):
            try:
                line = lines.line_of(entry)
            except ValueError as error:
                error.add_note(f"key {entry.key!r}")
                raise
            file.write(line.encode() + b"\n")
            if done % _SOME == 0 or done == total:
                told(done, total)
    return FINE


@contextmanager
def _written(path: str) -> Iterator[BinaryIO]:
    """Give a file to write, which is in place when all is in it; or stdout."""
    if path == "-":
        yield sys.stdout.buffer
        return
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as file:
            yield file
        return
    part = f"{path}.part"
    private = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        with open(private, "wb") as file:
            yield file
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise


def import_(options: Options) -> int:
    """Store what is read, a chunk as one."""
    pickles = Pickles(allowed=options.allow_pickle)
    counts = {"stored": 0, "skipped": 0, "expired": 0}
    with _read(options, pickles) as source, to_fill(options) as d, bar("importing", "keys") as told:
        for chunk in chunks(source.items):
            _store(d, chunk, options.on_conflict, counts)
            told(sum(counts.values()), source.total)
    printing.answer(counts, as_json=options.json)
    if pickles.refused:
        raise UsageError(f"left out: {pickles.refused} pickles, which run code when read; --allow-pickle does that")
    return FINE


@contextmanager
def _read(options: Options, pickles: Pickles) -> Iterator[Source]:
    path: str = options.file
    kind = options.kind or (LINES if path == "-" else foreign.kind_of(path))
    with ExitStack() as stack:
        if kind != LINES:
            yield stack.enter_context(foreign.opened(kind, path, pickles))
        else:
            yield lines.source_of(sys.stdin.buffer if path == "-" else stack.enter_context(open(path, "rb")))


def _store(d: Dict, chunk: list[Item], on_conflict: str, counts: dict[str, int]) -> None:
    now = time.time()
    found = dict.fromkeys(counts, 0)
    met = chunk[0]

    def wanted() -> Iterator[Carried]:
        nonlocal met
        for met in chunk:
            entry = met.entry
            if entry.expires_at is not None and _has_passed(entry.expires_at, now):
                found["expired"] += 1
            elif on_conflict != "overwrite" and entry.key in d:
                if on_conflict in ("error", "fail"):
                    raise KeyExistsError(entry.key)
                found["skipped"] += 1
            else:
                found["stored"] += 1
                yield entry

    try:
        # One transaction, so that a key that comes twice in a chunk is there the second time.
        with d.transaction():
            d.restore(wanted())
    except ValueError as error:
        if met.line:
            error.add_note(f"line {met.line}")
        raise
    for name, count in found.items():
        counts[name] += count


def _has_passed(expires_at: float, now: float) -> bool:
    # What is no number is for the store to refuse.
    return isinstance(expires_at, (int, float)) and expires_at <= now


_EXPORT = """\
diskdict export inventory.jsonl
diskdict export | gzip > inventory.jsonl.gz
diskdict export | jq -r 'select(.value.count? == 0) | .key'
A line has key, value, expires_at, created_at and metadata; the first says what the file is. A
FILE is in place when all is in it, and private."""
_IMPORT = """\
diskdict import inventory.jsonl
zcat inventory.jsonl.gz | diskdict import --on-conflict skip
diskdict import old_cache --from diskcache --allow-pickle
A file of diskdict export, a folder of iodict or diskcache, a file of shelve or sqlitedict. The
store is made where there is none. Stopped half-way, it completes when it is run again."""

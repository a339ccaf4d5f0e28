"""Commands about all keys: keys, ls, stats."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice

from diskdict import DiskDict, keys
from diskdict.cli import printing
from diskdict.cli.access import Dict, to_read
from diskdict.cli.failures import FINE
from diskdict.cli.parsing import Commands, Options, add_json, count, utf8
from diskdict.cli.screen import visible
from diskdict.jsontext import written
from diskdict.patterns import matcher

Named = Iterator[tuple[object, str]]


def add(commands: Commands) -> None:
    """Add the commands."""
    parser = commands.add("keys", keys_, "print the keys in the order of insertion, one a line", _KEYS)
    _add_choice(parser)
    add_json(parser, "print a JSON string a line: exact, whatever is in the key")
    parser = commands.add("ls", ls, "print size, time-to-live, time of change and key, one a line", _LS)
    _add_choice(parser)
    add_json(parser, "print a JSON object a line")
    parser = commands.add(
        "stats", stats, "print numbers about the store", "diskdict stats\ndiskdict stats --json | jq .keys"
    )
    add_json(parser)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("glob", metavar="GLOB", nargs="?", help="only keys like this: * ? [a-z] [!a-z]")
    parser.add_argument("--limit", type=count, metavar="N", help="no more than N keys")
    parser.add_argument("--reverse", action="store_true", help="the last key first")


def keys_(options: Options) -> int:
    """Print keys, each as it is met."""
    with to_read(options) as d:
        for _, text in _chosen(options, d):
            printing.line(written(text) if options.json else visible(text))
    return FINE


def ls(options: Options) -> int:
    """Print a line about each key, as it is met."""
    with to_read(options) as d:
        for key, text in _chosen(options, d):
            try:
                info, left = d.info(key), d.ttl(key)
            except KeyError:  # it expired meanwhile
                continue
            if options.json:
                fields = {"key": text, "size": info.size, "ttl": left, "expires_at": info.expires_at}
                printing.line(written(fields | {"updated_at": info.updated_at}))
            else:
                lives = "never" if left is None else f"{left:.0f}s"
                printing.line(f"{info.size:>12} {lives:>10}  {printing.moment(info.updated_at)}  {visible(text)}")
    return FINE


def _chosen(options: Options, d: Dict) -> Named:
    """Return the keys that were asked for, with their texts."""
    named: Named = ((key, keys.spelled(key)) for key in (reversed(d) if options.reverse else iter(d)))
    if options.glob is not None:
        fits = matcher(utf8(options.glob))
        named = ((key, text) for key, text in named if fits(text))
    return islice(named, options.limit)


def stats(options: Options) -> int:
    """Print numbers about the folder; of a server the number of keys alone."""
    with to_read(options) as d:
        found = d.stats()._asdict() if isinstance(d, DiskDict) else {"keys": len(d)}
    printing.answer(found, as_json=options.json)
    return FINE


_KEYS = """\
diskdict keys
diskdict keys 'user.*' --limit 10
diskdict keys --reverse | head -1
diskdict keys --json | jq -r .
A key of another type, and a str that begins with =, is shown as --key-type typed takes it: =i42."""
_LS = """\
diskdict ls
diskdict ls 'user.*' --reverse --limit 10
diskdict ls | sort -n | tail -3            the largest three
diskdict ls --json | jq 'select(.size > 1000)'
The time-to-live is in seconds, or never."""

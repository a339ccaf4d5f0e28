"""Commands about one key, or a few: get, set, create, del, ttl, expire, info."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping

from diskdict import FOREVER, NOT_SET, DiskDict, KeyNotFoundError, jsontext, keys
from diskdict.cli import printing
from diskdict.cli.access import to_change, to_fill, to_read
from diskdict.cli.failures import FINE, NOT_FOUND, tell
from diskdict.cli.parsing import Commands, Options, add_json, add_key, key_of, ttl, utf8


def add(commands: Commands) -> None:
    """Add the commands."""
    parser = commands.add("get", get, "print the value of a key", _GET)
    add_key(parser)
    add_json(parser, "print JSON, whatever the value is")

    for name, run, about in (
        ("set", set_, "store a value"),
        ("create", create, "store a value under a key that is not there"),
    ):
        _add_writing(commands.add(name, run, about, _SET.replace("set", name)))

    parser = commands.add("del", delete, "remove keys, as one change", _DEL)
    add_key(parser, several=True)
    add_json(parser, "print which of them were there")

    parser = commands.add("ttl", ttl_, "print the seconds that a key has left, or never", _TTL)
    add_key(parser)
    add_json(parser, "print a number, or null for never")

    parser = commands.add("expire", expire, "have a key expire some seconds from now, or never", _EXPIRE)
    add_key(parser)
    parser.add_argument("ttl", metavar="SECONDS|never", type=ttl)

    parser = commands.add("info", info, "print times, size, checksum and metadata of a key", _INFO)
    add_key(parser)
    add_json(parser)


def _add_writing(parser: argparse.ArgumentParser) -> None:
    add_key(parser)
    parser.add_argument(
        "value", metavar="JSON|-", nargs="?", default="-", help="the value as JSON; - or nothing reads stdin"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--text", action="store_true", help="the value is a str as it stands, not JSON")
    how.add_argument("--raw", action="store_true", help="the value is bytes as they stand, not JSON")
    parser.add_argument("--ttl", type=ttl, metavar="SECONDS|never", help="how long it lives")
    parser.add_argument("--metadata", metavar="JSON", help="a JSON object to keep beside the value")


def get(options: Options) -> int:
    """Print a value: a str and bytes as they are, all else as JSON."""
    key = key_of(options, options.key)
    with to_read(options) as d:
        value = d.get(key, NOT_SET)
    if value is NOT_SET:
        raise KeyNotFoundError(key)
    if options.json:
        printing.line(jsontext.written(value))
    elif isinstance(value, bytes):
        printing.put(value)
    else:
        printing.line(value if isinstance(value, str) else jsontext.written(value))
    return FINE


def set_(options: Options) -> int:
    """Store a value."""
    key, value, metadata = _to_write(options)
    with to_fill(options) as d:
        d.set(key, value, ttl=options.ttl, metadata=metadata)
    return FINE


def create(options: Options) -> int:
    """Store a value under a key that is not there."""
    key, value, metadata = _to_write(options)
    with to_fill(options) as d:
        d.create(key, value, ttl=options.ttl, metadata=metadata)
    return FINE


def _to_write(options: Options) -> tuple[object, object, Mapping[str, object] | None]:
    key = key_of(options, options.key)
    metadata = None if options.metadata is None else jsontext.read_object(utf8(options.metadata))
    content = sys.stdin.buffer.read() if options.value == "-" else os.fsencode(options.value)
    if options.raw:
        return key, content, metadata
    text = jsontext.decoded(content)
    return key, text if options.text else jsontext.read(text), metadata


def delete(options: Options) -> int:
    """Remove keys; NOT_FOUND where one of them was missing."""
    asked = {key_of(options, text): text for text in options.key}
    with to_change(options) as d:
        removed = d.delete_many(asked)
    if options.json:
        printing.line(jsontext.written({keys.spelled(key): there for key, there in removed.items()}))
    for key, there in removed.items():
        if not there:
            tell(str(KeyNotFoundError(key)))
    return FINE if all(removed.values()) else NOT_FOUND


def ttl_(options: Options) -> int:
    """Print the seconds that are left."""
    key = key_of(options, options.key)
    with to_read(options) as d:
        try:
            left = d.ttl(key)
        except KeyError:
            raise KeyNotFoundError(key) from None
    printing.line("never" if left is None and not options.json else jsontext.written(left))
    return FINE


def expire(options: Options) -> int:
    """Set or remove the time-to-live."""
    key = key_of(options, options.key)
    with to_change(options) as d:
        there = d.persist(key) if options.ttl is FOREVER else d.expire(key, options.ttl)
    if not there:
        raise KeyNotFoundError(key)
    return FINE


def info(options: Options) -> int:
    """Print what is known of a key besides its value."""
    key = key_of(options, options.key)
    with to_read(options) as d:
        try:
            found = d.info(key)
            file = {"file": str(d.path_for(key))} if isinstance(d, DiskDict) else {}
        except KeyError:
            raise KeyNotFoundError(key) from None
    fields = found._asdict() | {"metadata": dict(found.metadata)} | file
    if not options.json:
        fields |= {name: printing.moment(fields[name]) for name in ("created_at", "updated_at", "expires_at")}
    printing.answer(fields, as_json=options.json)
    return FINE


_GET = """\
diskdict get apple                        a str as it is, bytes as they are, all else as JSON
diskdict get photo > photo.png
diskdict get apple --json | jq .colour
diskdict get =i42 --key-type typed        the key 42"""
_SET = """\
diskdict set apple '{"colour": "red"}'
diskdict set session '"token"' --ttl 3600
diskdict set greeting --text hello --metadata '{"language": "en"}'
diskdict set photo --raw < photo.png
jq .fruits.apple all.json | diskdict set apple
diskdict set point '{"$tuple": [1, 2]}'    types beyond JSON, as get --json prints them
The folder is made where there is none. Bad JSON is told with line and column, and nothing is stored."""
_DEL = """\
diskdict del apple pear
diskdict del =i42 '=(=i1,tuple,)' --key-type typed"""
_TTL = "diskdict ttl session"
_EXPIRE = """\
diskdict expire session 60
diskdict expire session never"""
_INFO = """\
diskdict info apple
diskdict info apple --json | jq .expires_at"""

"""The command line as argparse has it: a command each, with its options and examples."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, NoReturn

from diskdict import FOREVER, keys
from diskdict.cli.failures import USAGE, UsageError, tell
from diskdict.cli.screen import visible
from diskdict.keys import Key
from diskdict.store import Mark, seconds

Options = argparse.Namespace
Run = Callable[[Options], int]
Ttl = float | Literal[Mark.FOREVER]

STORE: Final = "DISKDICT_STORE"
BYTES: Final = "bytes"
CODECS: Final = ("json", "raw", "pickle", BYTES)
"""What the values of a store are written by, the last of which is for files by key."""

_ABOUT: Final = "A dict that lives in a folder, one readable file per key."
_AFTER: Final = """\
The store is --store PATH|URL, or $DISKDICT_STORE. Exit codes: 0 fine, 1 not found (create: there
already), 2 not as the command is used, 3 in use by another process, 4 damaged.

  export DISKDICT_STORE=~/inventory
  diskdict set apple '{"colour": "red"}' --ttl 3600
  diskdict get apple
  diskdict ls 'app*'
  diskdict COMMAND --help    shows more"""
_TYPED: Final = """\
the KEY is a str as it stands (str), or typed as "diskdict keys" shows it: =i42 =f1.5 =T =n =bbytes
=(=i1,tuple,) and =s=x for the str "=x" (typed)"""


class _Parser(argparse.ArgumentParser):
    """Errors in one line."""

    _mixing = False

    def parse_known_args(  # type: ignore[override]  # its overloads are about other namespaces
        self, args: Sequence[str] | None = None, namespace: Options | None = None
    ) -> tuple[Options, list[str]]:
        """Take options between a KEY and what may follow it, too: argparse does that only where it is asked to.

        Then it loses sight of what -- means; so with that the options come first.
        """
        if self._mixing or self._subparsers is not None or "--" in (args or ()):
            return super().parse_known_args(args, namespace)
        self._mixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._mixing = False

    def error(self, message: str) -> NoReturn:
        tell(f"{visible(message)}; see {self.prog} --help")
        raise SystemExit(USAGE)


class Commands:
    """The parser of the whole command line, and what makes those of its commands."""

    def __init__(self) -> None:
        self.parser = _Parser(
            prog="diskdict",
            description=_ABOUT,
            epilog=_AFTER,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self._all: list[tuple[str, str, argparse.ArgumentParser]] = []
        _add_store(self.parser, default=None)
        self._commands = self.parser.add_subparsers(
            title="commands", metavar="COMMAND", required=True, parser_class=_Parser
        )

    def add(self, name: str, run: Run, about: str, examples: str, *, of_store: bool = True) -> argparse.ArgumentParser:
        """Return the parser of a new command, for its arguments. `run` gets them and returns the exit code."""
        parser: argparse.ArgumentParser = self._commands.add_parser(
            name,
            help=about,
            description=about[0].upper() + about[1:] + ".",
            epilog="examples:\n" + "\n".join(f"  {line}" for line in examples.splitlines()),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        parser.set_defaults(run=run)
        self._all.append((name, about, parser))
        if of_store:
            _add_store(parser, default=argparse.SUPPRESS)
            add_opening(parser)
        return parser

    def all(self) -> Iterable[tuple[str, str, argparse.ArgumentParser]]:
        """Return name, description and parser of each command."""
        return self._all


def _add_store(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument(
        "--store",
        "--datastore",
        metavar="PATH|URL",
        default=default,
        help=f"the folder, file or URL; without it ${STORE}",
    )


def add_opening(parser: argparse.ArgumentParser) -> None:
    """Add the options of opening a store."""
    parser.add_argument(
        "--codec",
        choices=CODECS,
        default="json",
        help="what the store was made with, json unless said; pickle runs code when a value is read, bytes is for"
        " files by key on a server",
    )
    add_timeout(parser)


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """Add the option of waiting for a folder."""
    parser.add_argument(
        "--timeout", type=not_negative, default=0.0, metavar="SECONDS", help="wait for another process to let go of it"
    )


def add_json(parser: argparse.ArgumentParser, about: str = "answer in JSON") -> None:
    """Add the switch that makes the answer JSON."""
    parser.add_argument("--json", action="store_true", help=about)


def add_key(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add the key, or several, and the switch that says how they are typed."""
    parser.add_argument(
        "key", metavar="KEY", nargs="+" if several else None, help="options, then --, before one that begins with -"
    )
    parser.add_argument("--key-type", choices=("str", "typed"), default="str", help=_TYPED)


def key_of(options: Options, text: str) -> Key:
    """Return the key that `text` stands for. UsageError where it stands for none."""
    utf8(text)
    if options.key_type == "str":
        return text
    try:
        return keys.decode(text)
    except ValueError:
        raise UsageError(f"not a key as diskdict keys shows them: {visible(text)}") from None


def utf8(text: str) -> str:
    """Return an argument, or raise UsageError where it came as bytes that are not UTF-8."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(f"an argument is not UTF-8: {visible(text)}") from None
    return text


def store_of(options: Options) -> str:
    """Return the path of the store that was named. UsageError where none was."""
    path: str | None = options.store or os.environ.get(STORE)
    if not path:
        raise UsageError(f"which store? Give --store PATH, or set {STORE}")
    return path


def not_negative(text: str) -> float:
    """Return a number of seconds; for argparse."""
    try:
        return seconds(float(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"seconds are a number from 0, not {text!r}") from None


def ttl(text: str) -> Ttl:
    """Return a time-to-live in seconds, or that there is none; for argparse."""
    return FOREVER if text == "never" else not_negative(text)


def count(text: str) -> int:
    """Return a whole number from 0; for argparse."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"a whole number from 0 is wanted, not {text!r}")
    return int(text)

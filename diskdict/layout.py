"""Where a key lies: its text as a file name, the shard that holds it, and the names a store keeps for itself.

Names are made of ``a-z 0-9 _ - . , = @ ( )`` and two marks: ``+`` before a letter makes it upper case, ``%`` before two
hexadecimal digits is a byte of UTF-8. So a name is plain ASCII, legal on every filesystem, and no two names differ
only in case::

    hello   hello         README   +r+e+a+d+m+e        a/b    a%2fb        .git   %2egit
    naïve   na%c3%afve    con.txt  %63on.txt           end.   end%2e       ""     %

A name that would be longer than 200 bytes is ``%%`` and the SHA-256 of the text; the text then lies beside it.
"""

from __future__ import annotations

import re
import zlib
from enum import Enum
from typing import NamedTuple

DATA = "data"
TMP = "tmp"
LOCK = "lock"
MANIFEST = "diskdict.json"
INDEX = "index"
QUARANTINE = "quarantine"
JOURNAL = "journal"
TEMPORARY = ".new"
TEMPORARY_SIDECAR = ".new-attr"
"""Not ``.new.attr``: that is the sidecar of the key ``new``."""

OWN_NAMES = frozenset({DATA, TMP, LOCK, MANIFEST, INDEX, QUARANTINE, JOURNAL, MANIFEST + TEMPORARY, INDEX + TEMPORARY})
"""All that a store's folder may hold."""

MAX_NAME = 200
"""Bytes of a name. The longest file beside it, ``.NAME.attr``, stays below the 255 that filesystems allow."""

DIGEST = "%%"
"""What the names of keys too long for a name begin with; no other name has it anywhere."""

_ATTR = ".attr"
_KEY = ".key"

_SAFE = "abcdefghijklmnopqrstuvwxyz0123456789_-.,=@()"
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|\Z)")
# Only letters that begin a reserved name pay for looking ahead.
is_plain = re.compile(
    rf"(?:[bd-kmoq-z0-9_=,@()]|(?!{_RESERVED.pattern})[a-z])[a-z0-9_=,@().-]{{0,{MAX_NAME - 1}}}(?<!\.)"
).fullmatch
_MARK = re.compile(rb"%[0-9a-f]{2}|\+[a-z]")
_DIGEST = re.compile(r"%%[0-9a-f]{64}").fullmatch


def _percent(char: str) -> str:
    return "".join(f"%{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))


class _Escapes(dict[int, str]):
    """A table for str.translate that makes up the escapes it does not hold."""

    def __missing__(self, code: int) -> str:
        return _percent(chr(code))


_ESCAPES = _Escapes({code: _percent(chr(code)) for code in range(128)})
_ESCAPES.update({ord(char): char for char in _SAFE})
_ESCAPES.update({ord(char.upper()): f"+{char}" for char in _SAFE if char.isalpha()})

_MARKS = {b"%%%02x" % byte: bytes([byte]) for byte in range(256)}
_MARKS.update({b"+" + char.lower().encode(): char.encode() for char in map(chr, range(65, 91))})


def escape(text: str) -> str:
    """Return `text` as a file name of any length."""
    if is_plain(text):
        return text
    if not text:
        return "%"
    name = text.translate(_ESCAPES)
    if name[0] in ".-" or _RESERVED.match(name):
        name = _percent(name[0]) + name[1:]
    return name[:-1] + "%2e" if name[-1] == "." else name


def unescape(name: str) -> str:
    """Return the text whose `escape` is `name`; a ValueError where there is none."""
    if is_plain(name):
        return name
    if name == "%":
        return ""
    try:
        text = _MARK.sub(_unescaped, name.encode("ascii")).decode("utf-8", "surrogatepass")
        genuine = escape(text) == name
    except UnicodeError:
        genuine = False
    if not genuine:
        raise ValueError(f"not the name of a key: {name!r}")
    return text


def _unescaped(mark: re.Match[bytes]) -> bytes:
    return _MARKS[mark[0]]


def encode_name(text: str) -> str:
    """Return the file name of a key's text: readable, or a digest where it would be too long."""
    if is_plain(text):
        return text
    name = escape(text)
    return name if len(name) <= MAX_NAME else _digest(text)


def _digest(text: str) -> str:
    import hashlib  # loading OpenSSL takes longer than all of this package, and few stores have such keys

    return DIGEST + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def is_digest(name: str) -> bool:
    """Return whether `name` stands for a key too long for a name."""
    return _DIGEST(name) is not None


def sidecar(name: str) -> str:
    """Return the file that holds the attributes of `name` where the filesystem has none."""
    return f".{name}{_ATTR}"


def long_key(name: str) -> str:
    """Return the file that holds the full text of a digest name."""
    return f".{name}{_KEY}"


def companions(name: str) -> tuple[str, str]:
    """Return the files that may lie beside the value `name`."""
    return sidecar(name), long_key(name)


class Kind(Enum):
    """What a file in a shard is."""

    VALUE = "value"
    SIDECAR = "sidecar"
    LONG_KEY = "long key"
    TEMPORARY = "temporary"
    FOREIGN = "foreign"


class Entry(NamedTuple):
    """A file in a shard: its kind, and the name of the value it belongs to (its own name where there is none)."""

    kind: Kind
    name: str


def classify(name: str) -> Entry:
    """Return what the file `name` in a shard is."""
    if name[:1] != ".":
        return Entry(Kind.VALUE if _is_value(name) else Kind.FOREIGN, name)
    if name in (TEMPORARY, TEMPORARY_SIDECAR):
        return Entry(Kind.TEMPORARY, name)
    if name.endswith(_ATTR) and _is_value(owner := name[1 : -len(_ATTR)]):
        return Entry(Kind.SIDECAR, owner)
    if name.endswith(_KEY) and is_digest(owner := name[1 : -len(_KEY)]):
        return Entry(Kind.LONG_KEY, owner)
    return Entry(Kind.FOREIGN, name)


def _is_value(name: str) -> bool:
    if is_plain(name) or is_digest(name):
        return True
    try:
        unescape(name)
    except ValueError:
        return False
    return len(name) <= MAX_NAME


class Shards:
    """The folders that share the values of a store.

    Parameters
    ----------
    count: int
        How many, a power of two from 1 to 65,536.
    """

    __slots__ = ("count", "names")

    def __init__(self, count: int = 256) -> None:
        if type(count) is not int or not 1 <= count <= 65536 or count & (count - 1):
            raise ValueError(f"shards is a power of two from 1 to 65536, not {count!r}")
        width = len(f"{count - 1:x}")
        self.count = count
        self.names = tuple(f"{number:0{width}x}" for number in range(count))

    def number(self, name: str) -> int:
        """Return the number of the shard that holds `name`."""
        return zlib.crc32(name.encode()) & (self.count - 1)

    def path(self, name: str) -> str:
        """Return the path of `name` below the folder of values."""
        return f"{self.names[zlib.crc32(name.encode()) & (self.count - 1)]}/{name}"

"""Bytes as damage and malice make them of well-formed ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

LONGEST: Final = 2_000
"""Bytes of what `mutated` gives, about: what is read in no time."""

_NUMBERS: Final = (0, 1, 2, 0x7F, 0x80, 0xFF, 1 << 15, 1 << 16, 1 << 31, (1 << 32) - 1, 1 << 60, 1 << 62, 1 << 63)
_TEXTS: Final = (
    *(
        b"0",
        b"-1",
        b"1e999",
        b"1" * 30,
        b"9" * 5_000,
        b"NaN",
        b"null",
        b"true",
        b'""',
        b"[]",
        b"{}",
        b'{"$',
        b"\\ud800",
    ),
    *(b"[" * 600, b'[{"a":' * 300, b"(" * 300, b"%", b"%00", b"+", b"=", b"=i", b"=f", b"\\", b"\n", b"\0", b"\xff"),
    *(b"../", b"/", b"0x", b"1_0", b"\x1b", b"\xed\xa0\x80"),
)

Edit = Callable[[random.Random, bytearray, Sequence[bytes]], None]


def _flip(chance: random.Random, content: bytearray, seeds: Sequence[bytes]) -> None:
    if content:
        content[int(chance.random() * len(content))] ^= 1 << chance.getrandbits(3)


def _set(chance: random.Random, content: bytearray, seeds: Sequence[bytes]) -> None:
    if content:
        content[int(chance.random() * len(content))] = chance.getrandbits(8)


def _cut_off(chance: random.Random, content: bytearray, seeds: Sequence[bytes]) -> None:
    del content[int(chance.random() * (len(content) + 1)) :]


def _cut_out(chance: random.Random, content: bytearray, seeds: Sequence[bytes]) -> None:
    at = int(chance.random() * (len(content) + 1))
    del content[at : at + 1 + chance.getrandbits(4)]


def _insert(chance: random.Random, content: bytearray, seeds: Sequence[bytes]) -> None:
    at = int(chance.random() * (len(content) + 1))
    content[at:at] = chance.randbytes(1 + chance.getrandbits(3))


def _repeat(chance: random.Random, content: bytearray, seeds: Sequence[bytes]) -> None:
    at, size = int(chance.random() * (len(content) + 1)), 1 + chance.getrandbits(5)
    content[at:at] = content[at : at + size] * (1 + chance.getrandbits(2))


def _splice(chance: random.Random, content: bytearray, seeds: Sequence[bytes]) -> None:
    other = chance.choice(seeds)
    content[int(chance.random() * (len(content) + 1)) :] = other[int(chance.random() * (len(other) + 1)) :]


def _say_number(chance: random.Random, content: bytearray, seeds: Sequence[bytes]) -> None:
    at, size = int(chance.random() * (len(content) + 1)), 1 << chance.getrandbits(2)
    number = chance.choice(_NUMBERS) + chance.getrandbits(1)
    content[at : at + size] = (number & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def _say_text(chance: random.Random, content: bytearray, seeds: Sequence[bytes]) -> None:
    at = int(chance.random() * (len(content) + 1))
    content[at : at + chance.getrandbits(2)] = chance.choice(_TEXTS)


def _noise(chance: random.Random, content: bytearray, seeds: Sequence[bytes]) -> None:
    content[:] = chance.randbytes(chance.getrandbits(6))


_EDITS: Final[tuple[Edit, ...]] = (
    *(_flip, _flip, _flip, _set, _set, _cut_out, _cut_out, _insert, _insert, _repeat, _splice, _say_number),
    *(_say_number, _say_text, _say_text, _cut_off),
)


def mutated(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Return one of the seeds with one to four places changed, or now and then noise."""
    content = bytearray(chance.choice(seeds))
    if not chance.getrandbits(6):
        _noise(chance, content, seeds)
    for _ in range(1 + (chance.getrandbits(3) & chance.getrandbits(2))):
        _EDITS[chance.getrandbits(4)](chance, content, seeds)
    return bytes(content)

"""Looking for bytes that a decoder does not read as it should."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from mutations import mutated

SLOW: Final = 2.0
"""Seconds that a batch of `BATCH` inputs never takes by itself."""
BATCH: Final = 1_000
MEMORY: Final = 1 << 30
"""Bytes of address space for a process that decodes."""


class Decoder(NamedTuple):
    """How bytes of one kind are read.

    `decode` may raise the `errors` and no other; of what it returns `holds` is true, given the input, too. `seal` makes
    of mutated bytes what has a checksum that fits. `share` is how many of these there are for one of most others.
    """

    decode: Callable[[bytes], Any]
    seeds: tuple[bytes, ...]
    holds: Callable[[bytes, Any], bool]
    errors: tuple[type[Exception], ...] = ()
    seal: Callable[[bytes], bytes] = bytes
    share: float = 1.0


class Finding(NamedTuple):
    """An input that was not read as it should be."""

    decoder: str
    seed: int
    content: bytes
    what: str

    def __str__(self) -> str:
        return f"{self.decoder}: {self.what}, of {self.content!r} (seed {self.seed})"


def limit_memory() -> None:
    """Have no allocation succeed that believes a length without end."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def hunt(name: str, decoder: Decoder, seed: int, count: int) -> Finding | None:
    """Give a decoder that many mutated inputs; return the first that was not read as it should be."""
    chance = random.Random(f"{name} {seed}")
    for start in range(0, count, BATCH):
        inputs = [decoder.seal(mutated(chance, decoder.seeds)) for _ in range(min(BATCH, count - start))]
        begun = time.process_time()
        for content in inputs:
            what = judged(decoder, content)
            if what is not None:
                return Finding(name, seed, content, what)
        if time.process_time() - begun > SLOW:
            return Finding(name, seed, max(inputs, key=lambda each: _seconds(decoder, each)), "it takes very long")
    return None


def judged(decoder: Decoder, content: bytes) -> str | None:
    """Say what is wrong with how an input is read, if anything is."""
    try:
        found = decoder.decode(content)
    except decoder.errors:
        return None
    except Exception as error:
        return f"{type(error).__name__} ({error})"
    try:
        return None if decoder.holds(content, found) else f"it was taken for {found!r:.500}"
    except Exception as error:
        return f"it was taken, and then {type(error).__name__} ({error})"


def _seconds(decoder: Decoder, content: bytes) -> float:
    begun = time.process_time()
    judged(decoder, content)
    return time.process_time() - begun

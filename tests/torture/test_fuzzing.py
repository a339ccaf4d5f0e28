"""Whatever lies in a file is read for what it is, or refused: decoders are given mutated bytes by the million."""

from __future__ import annotations

import random
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import decoders
import hunting
import pytest
from decoders import DECODERS, JOURNALS, SNAPSHOTS
from hunting import Decoder, Finding, hunt, judged, limit_memory
from tallies import tally

from diskdict import FormatError, journal

SHORT = 3_000
LONG = 1_000_000
TURN = 20_000  # inputs that a process is given at a time
BEFORE_A_TAIL = 2  # groups that the last one knows to be on disk are that many before it


@pytest.mark.parametrize("name", DECODERS)
def test_mutated(name: str) -> None:
    """What a decoder takes holds together, all else is the error that it documents, and nothing takes long."""
    count = int(SHORT * DECODERS[name].share)
    finding = hunt(name, DECODERS[name], random.getrandbits(32), count)

    assert finding is None, str(finding)
    tally["inputs of decoders"] += count


@pytest.mark.torture
def test_mutated_for_long() -> None:
    """The same 12 million times, where no allocation beyond a gigabyte is given."""
    start = random.getrandbits(32)
    turns = [(name, start + n) for name in DECODERS for n in range(int(LONG * DECODERS[name].share) // TURN)]
    with ProcessPoolExecutor(2, get_context("spawn"), limit_memory) as pool:
        findings = {str(found) for found in pool.map(_turn, turns) if found is not None}

    assert not findings, "\n".join(sorted(findings))
    tally["inputs of decoders"] += len(turns) * TURN


def _turn(turn: tuple[str, int]) -> Finding | None:
    name, seed = turn
    return hunt(name, DECODERS[name], seed, TURN)


def flipped(content: bytes) -> list[bytes]:
    """Return a content with each of its bits flipped in turn."""
    whole, size = int.from_bytes(content, "little"), len(content)
    return [(whole ^ 1 << bit).to_bytes(size, "little") for bit in range(8 * size)]


@pytest.mark.parametrize("number", range(len(SNAPSHOTS)))
def test_each_bit_of_an_index(number: int) -> None:
    """One bit that is another is never taken for an index."""
    assert not [content for content in flipped(SNAPSHOTS[number]) if decoders.decode_snapshot(content) is not None]
    tally["flipped bits"] += 8 * len(SNAPSHOTS[number])


def flip_in_journals(step: int) -> None:
    """Assert that a flipped bit changes no group, and that a group that is missed and was on disk is told of."""
    for content in JOURNALS:
        written = journal.decode(content).groups
        flips = flipped(content)[random.randrange(step) :: step]
        for damaged in flips:
            try:
                found = journal.decode(damaged)
            except FormatError:
                continue
            assert found.groups == written[: len(found.groups)], damaged
            assert found.damage or len(written) - len(found.groups) <= BEFORE_A_TAIL, damaged
        tally["flipped bits"] += len(flips)


def test_bits_of_journals() -> None:
    """One bit that is another, here each thirtieth, changes no group and loses none that was on disk without a word."""
    flip_in_journals(30)


@pytest.mark.torture
def test_each_bit_of_journals() -> None:
    """The same for every bit."""
    flip_in_journals(1)


# ---- that faults are found


def _believes_its_length(content: bytes) -> bytes:
    return bytes(int.from_bytes(content[:8], "little"))


def _counts_long(content: bytes) -> bool:
    return len(content) > 250 and -1 not in iter(range(20_000))


FAULTY = {
    "believes a length": Decoder(_believes_its_length, (b"\1" + bytes(9),), lambda content, found: True),
    "takes long": Decoder(_counts_long, (bytes(range(250)),), lambda content, found: True),
    "raises another error": Decoder(bytes.decode, (b"text",), lambda content, found: True),
    "takes what is cut off": Decoder(bytes.hex, (b"text",), lambda content, found: len(content) > 3),
}


def _turn_of_faulty(name: str) -> Finding | None:
    return hunt(name, FAULTY[name], 1, 3_000)


@pytest.mark.parametrize("name", FAULTY)
def test_faults_are_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that allocates, dawdles, raises or takes what it should not is found out, and so is the input."""
    monkeypatch.setattr(hunting, "SLOW", 0.1)
    with ProcessPoolExecutor(1, get_context("fork"), limit_memory) as pool:
        finding = pool.submit(_turn_of_faulty, name).result()

    assert finding is not None
    assert judged(FAULTY[name], finding.content) is not None or "long" in finding.what


class _Agrees(int):
    """A checksum that is none: it is that of everything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


def test_journal_without_a_checksum_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal whose groups are not compared with their checksums gives groups that nobody wrote."""
    monkeypatch.setattr(journal, "crc32", lambda *_: _Agrees())
    finding = hunt("journal", DECODERS["journal"], 1, 2_000)

    assert finding is not None
    assert "taken for" in finding.what

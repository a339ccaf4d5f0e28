"""What may be on disk of the bytes that were written to one file and not synced: `variants`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from recording import Resize, Write

_SECTOR: Final = 512
_FEW: Final = 6


class Data(NamedTuple):
    """The bytes of a file, without zeros at its end, and its size."""

    content: bytes = b""
    size: int = 0


class _Piece(NamedTuple):
    """A sector as a write has left it; ``call`` numbers the write."""

    call: int
    at: int
    content: bytes
    grows: bool


def _data(content: bytes | bytearray, size: int) -> Data:
    return Data(bytes(content[:size]).rstrip(b"\0"), size)


def whole(base: Data, written: list[Write | Resize]) -> Data:
    content, size = bytearray(base.content), base.size
    for event in written:
        size = _done(content, size, event)
    return _data(content, size)


def _done(content: bytearray, size: int, event: Write | Resize) -> int:
    """Change the content of a file as it is in memory; return its size then."""
    if isinstance(event, Resize):
        del content[event.size :]
        return event.size
    end = event.offset + len(event.content)
    content.extend(bytes(max(0, end - len(content))))
    content[event.offset : end] = event.content
    return max(size, end)


def variants(base: Data, written: list[Write | Resize], *, ordered: bool) -> list[Data]:
    """Return what may be there of the bytes that were written to a file, each once, all of them last."""
    content, size = bytearray(base.content), base.size
    pieces: list[_Piece] = []
    for call, event in enumerate(written):
        size = _done(content, size, event)
        if isinstance(event, Write):
            first = event.offset - event.offset % _SECTOR
            for at in range(first, event.offset + len(event.content), _SECTOR):
                pieces.append(_Piece(call, at, bytes(content[at : at + _SECTOR]), event.grows))
    if not written:
        return [base]
    grown = [_size(written[:count], base.size) for count in range(len(written) + 1)]
    found = []
    for chosen in _selections(pieces):
        calls = [piece.call for piece in chosen]
        if ordered:
            # What has grown is there up to some write.
            missing = [piece.call for piece in pieces if piece.grows and piece not in chosen]
            until = min(missing, default=len(written))
            chosen = [piece for piece in chosen if not piece.grows or piece.call < until]
            found.append(_written(base, chosen, grown[until]))
        else:
            until = max(calls, default=-1) + 1
            found += [_written(base, chosen, grown[until]), _written(base, chosen, size)]
    all_of_it = whole(base, written)
    if not ordered:
        half = base.size + (size - base.size) // 2
        found += [_data(content, half), _data(content[:half], size)]
    return [*dict.fromkeys(each for each in found if each != all_of_it), all_of_it]


def _size(written: list[Write | Resize], size: int) -> int:
    for event in written:
        size = event.size if isinstance(event, Resize) else max(size, event.offset + len(event.content))
    return size


def _written(base: Data, pieces: list[_Piece], size: int) -> Data:
    content = bytearray(base.content)
    for piece in pieces:
        end = piece.at + len(piece.content)
        content.extend(bytes(max(0, end - len(content))))
        content[piece.at : end] = piece.content
    return _data(content, size)


def _selections(pieces: list[_Piece]) -> Iterator[list[_Piece]]:
    count = len(pieces)
    yield []
    for call in sorted({piece.call for piece in pieces}):
        yield [piece for piece in pieces if piece.call <= call]
    yield pieces[: count // 2]
    yield pieces[count // 2 :]
    yield pieces[::2]
    yield pieces[1::2]
    if count <= _FEW:
        for piece in pieces:
            yield [piece]
            yield [other for other in pieces if other is not piece]

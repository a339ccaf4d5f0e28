"""Patterns over keys of several segments: `Pattern`.

With ``.`` between the segments::

    *        any run of characters of one segment, also none    app.*        app.x, not app, not app.x.y
    ?        one character of a segment                         v?           v1
    **       any run of characters, across segments             app.**       app.x, app.x.y, not app
    **.      any number of whole segments, also none            **.x         x, a.x, a.b.x
    [0-9]    one of these characters, [!a] one of the others    v[0-9]       v1
    {a,b}    one of these, which may be patterns                {dev,prod}.* dev.x, prod.x
    \\        the next character as it is                        a\\*          a*

No pattern takes exponential time. Between two ``**`` the match that ends first is as good as any other, and within a
segment the same holds between two ``*``: what was found is never looked for again.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from typing import Final

MOST: Final = 1_000
"""Patterns that the braces of one may stand for."""
_CLASS_ENDS: Final = re.compile(r"\A\(\?s:|\)\\[Zz]\Z")


class Pattern:
    """What keys are to look like.

    Parameters
    ----------
    text: str
        The pattern.
    separator: str
        What stands between segments: one character or more, none of ``*?[]{},!\\``.

    Raises
    ------
    ValueError
        Braces that stand for more than 1,000 patterns, or a separator that is none.

    Notes
    -----
    Each key that matches is one of ``shapes``: the pieces of it with anything between them, so that it begins with the
    first and ends with the last, or is the only one. No piece that is a first one begins with another.
    """

    def __init__(self, text: str, separator: str = ".") -> None:
        if not separator or set(separator) & set("*?[]{},!\\"):
            raise ValueError(f"a separator is text without any of *?[]{{}},!\\, not {separator!r}")
        parts = list(_expanded(text))
        self.text = text
        self.shapes = _without_longer({_shape(part, separator) for part in parts})
        self._match = re.compile("|".join(_regex(part, separator) for part in parts), re.DOTALL).fullmatch

    def matches(self, key: str) -> bool:
        """Return whether a key looks like this."""
        return self._match(key) is not None


def _expanded(text: str) -> Iterator[str]:
    """Yield the patterns that one with braces stands for."""
    waiting, count = [text], 0
    while waiting:
        count += 1
        if count > 2 * MOST:
            raise ValueError(f"the braces of {text!r} stand for more than {MOST:,} patterns")
        one = waiting.pop()
        found = _first_braces(one)
        if found is None:
            yield one
        else:
            start, choices, end = found
            waiting.extend(one[:start] + choice + one[end:] for choice in reversed(choices))


def _first_braces(text: str) -> tuple[int, list[str], int] | None:
    """Return where the first braces with a choice begin, the choices, and where the braces end."""
    for opening in re.finditer(r"\\.|\{", text, re.DOTALL):
        if opening[0] != "{":
            continue
        depth, choices, begun = 0, [], opening.end()
        for found in re.finditer(r"\\.|[{},]", text[opening.end() :], re.DOTALL):
            at = opening.end() + found.start()
            if found[0] == "{":
                depth += 1
            elif found[0] == "," and not depth:
                choices.append(text[begun:at])
                begun = at + 1
            elif found[0] == "}":
                if not depth:
                    if choices:
                        return opening.start(), [*choices, text[begun:at]], at + 1
                    break
                depth -= 1
    return None


_TOKEN: Final = re.compile(r"\\.|\*+|\?|\[(?:!\]|!|\])?[^]]*\]|.", re.DOTALL)


def _shape(text: str, separator: str) -> tuple[str, ...]:
    """Return the pieces of every key that a pattern without braces matches."""
    pieces = [""]
    for number, (_, tokens) in enumerate(_chunks(text, separator)):
        if number:
            pieces.append("")
        for piece in tokens:
            if _is_wild(piece):
                pieces.append("")
            else:
                pieces[-1] += piece[-1]
    first, *others = pieces
    return (first, *filter(None, others[:-1]), *others[-1:])


def _is_wild(piece: str) -> bool:
    return piece[0] in "*?" or (piece[0] == "[" and len(piece) > 1)


def _without_longer(shapes: set[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    kept: list[tuple[str, ...]] = []
    for shape in sorted(shapes):
        if not kept or not shape[0].startswith(kept[-1][0]):
            kept.append(shape)
        else:
            # Several begin alike, and that is all that is known of them together.
            kept[-1] = (kept[-1][0], "")
    return tuple(kept)


def _regex(text: str, separator: str) -> str:
    """Return the regular expression of a pattern without braces."""
    chunks = _chunks(text, separator)
    first, rest = chunks[0][1], chunks[1:]
    pieces = [_anchored(first, separator, closed=not rest)]
    for number, (whole, tokens) in enumerate(rest):
        closed = number == len(rest) - 1
        if closed and not tokens and not whole:
            pieces.append(".*")
            continue
        skip = f"(?:.*?{re.escape(separator)})??" if whole else ".*?"
        chunk = _anchored(tokens, separator, closed=closed)
        pieces.append(f"{skip}{chunk}\\Z" if closed else f"(?>{skip}{chunk})")
    return "".join(pieces)


def _chunks(text: str, separator: str) -> list[tuple[bool, list[str]]]:
    """Return what stands between two ``**``, as tokens; with each whether it begins where a segment does."""
    chunks: list[tuple[bool, list[str]]] = [(False, [])]
    at = 0
    while found := _TOKEN.match(text, at):
        piece, tokens = found[0], chunks[-1][1]
        at = found.end()
        if not piece.startswith("**"):
            tokens.append(piece)
            continue
        begins = not text[: found.start()] or text[: found.start()].endswith(separator)
        whole = begins and text.startswith(separator, at)
        if whole:
            at += len(separator)
        if not tokens and len(chunks) > 1:
            # Two in a row are one, and begin where either lets them.
            chunks[-1] = (chunks[-1][0] and whole, [])
        else:
            chunks.append((whole, []))
    return chunks


def _anchored(tokens: list[str], separator: str, *, closed: bool) -> str:
    """Return the regular expression of tokens without ``**``; `closed` says that the key ends with them."""
    segments = _segments(tokens, separator)
    last = len(segments) - 1
    inside = f"[^{re.escape(separator)}]" if len(separator) == 1 else f"(?:(?!{re.escape(separator)}).)"
    written = (_segment(parts, inside, closed=closed or at < last) for at, parts in enumerate(segments))
    return re.escape(separator).join(written)


def _segments(tokens: list[str], separator: str) -> list[list[list[str]]]:
    """Return the segments of a chunk, of each the parts between its stars, of each its regular expressions."""
    not_separator = f"(?!{re.escape(separator)})"
    segments: list[list[list[str]]] = [[[]]]
    literal = ""
    for piece in [*tokens, ""]:
        if piece and not _is_wild(piece):
            literal += piece[-1]
            continue
        head, *others = literal.split(separator)
        segments[-1][-1].append(re.escape(head))
        segments.extend([[re.escape(other)]] for other in others)
        literal = ""
        if piece == "*":
            segments[-1].append([])
        elif piece == "?":
            segments[-1][-1].append(not_separator + ".")
        elif piece:
            segments[-1][-1].append(not_separator + _CLASS_ENDS.sub("", fnmatch.translate(piece)))
    return segments


def _segment(parts: list[list[str]], inside: str, *, closed: bool) -> str:
    first, *others = map("".join, parts)
    if not others:
        return first
    *between, last = others
    lazy = "".join(f"(?>{inside}*?{part})" for part in between)
    if closed:
        return f"{first}{lazy}{inside}*{last}"
    return f"{first}{lazy}(?>{inside}*?{last})" if last else f"{first}{lazy}"

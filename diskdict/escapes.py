"""Any str as one that others can hold, who know neither NUL nor surrogates: a pure pair, without loss.

NUL is ``\\0``, a surrogate ``\\dXXX`` and a backslash ``\\\\``; all else is as it is. A text that begins with another
does so in this form, too.
"""

from __future__ import annotations

import re
from typing import Final

_SPECIAL: Final = re.compile("[\\\\\0\ud800-\udfff]")
_ESCAPE: Final = re.compile(r"\\(\\|0|d[0-9a-f]{3})")
_SHORT: Final = {"\\": "\\\\", "\0": "\\0"}
_MEANT: Final = {"\\": "\\", "0": "\0"}


def escaped(text: str) -> str:
    """Return any str as one without NUL and surrogates."""
    return _SPECIAL.sub(_escape, text) if _SPECIAL.search(text) else text


def unescaped(text: str) -> str:
    """Return what `escaped` was given."""
    return _ESCAPE.sub(_mean, text) if "\\" in text else text


def _escape(found: re.Match[str]) -> str:
    return _SHORT.get(found[0]) or f"\\{ord(found[0]):04x}"


def _mean(found: re.Match[str]) -> str:
    return _MEANT.get(found[1]) or chr(int(found[1], 16))

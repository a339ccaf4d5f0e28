"""What a key of a blob store may be: `KeyRule`, and the rules there are."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from diskdict.errors import InvalidKeyError

_PLAIN: Final = r"!\"#$%&'()+,\-.<=>?@\[\\\]^_`{}~0-9A-Za-z"

VALID_KEY_REGEXP: Final = rf"\A[{_PLAIN}]{{1,250}}\Z"
"""The default: letters, digits and the punctuation of ASCII but ``/ * : ; |`` and space, 1 to 250 characters."""
VALID_KEY_RE: Final = re.compile(VALID_KEY_REGEXP)
VALID_KEY_REGEXP_EXTENDED: Final = rf"\A[{_PLAIN}/ ]{{1,250}}\Z"
"""With slash and space. ``..`` and a slash at the beginning mean nothing here: a key is text, not a path."""
VALID_KEY_RE_EXTENDED: Final = re.compile(VALID_KEY_REGEXP_EXTENDED)


class KeyRule(NamedTuple):
    """What keys may be: the expression that all of each has to match, and how to say so. None: any but an empty str."""

    expression: re.Pattern[str] | None
    told: str

    def check(self, key: object) -> str:
        """Return a key, or raise InvalidKeyError, which is a TypeError and a ValueError."""
        if type(key) is not str:
            raise InvalidKeyError(f"a key is a str, not {key!r}")
        if not (key if self.expression is None else self.expression.fullmatch(key)):
            raise InvalidKeyError(f"not a key here: {key!r}; a key is {self.told}")
        return key


RULES: Final = {
    "default": KeyRule(
        VALID_KEY_RE, "1 to 250 of the letters, digits and punctuation of ASCII but / * : ; | and space"
    ),
    "extended": KeyRule(
        VALID_KEY_RE_EXTENDED, "1 to 250 of the letters, digits and signs of ASCII but * : ; |, and spaces"
    ),
    "any": KeyRule(None, "any text that is not empty"),
}


def rule_of(keys: str | re.Pattern[str]) -> KeyRule:
    """Return the rule of a name, or of an expression that keys have to match from end to end."""
    if isinstance(keys, re.Pattern):
        if not isinstance(keys.pattern, str):
            raise TypeError(f"keys are str, and this expression is for bytes: {keys.pattern!r}")
        return KeyRule(keys, f"what matches {keys.pattern!r}")
    if keys not in RULES:
        raise ValueError(f"unknown rule for keys {keys!r}; there are {', '.join(RULES)}, or give a compiled expression")
    return RULES[keys]

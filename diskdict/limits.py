"""What a store refuses to grow beyond: the limits that are checked before anything is written."""

from __future__ import annotations

from typing import NamedTuple

from diskdict.errors import InvalidKeyError, InvalidValueError, LimitError


class _Fields(NamedTuple):
    key_chars: int | None = None
    value_bytes: int | None = None
    total_bytes: int | None = None
    json_object_only: bool = False
    str_keys_only: bool = False


class Limits(_Fields):
    """What a store refuses; the defaults refuse nothing.

    Parameters
    ----------
    key_chars: int
        Characters of a key: of the str itself, of its text for keys of other types.
    value_bytes: int
        Bytes of one value as it lies on disk.
    total_bytes: int
        Bytes of all values as they lie on disk.
    json_object_only: bool
        Refuse values that are not a plain dict.
    str_keys_only: bool
        Refuse keys that are not str.

    Notes
    -----
    A number that is not a positive int is a ValueError.
    """

    __slots__ = ()

    def __new__(
        cls,
        key_chars: int | None = None,
        value_bytes: int | None = None,
        total_bytes: int | None = None,
        json_object_only: bool = False,
        str_keys_only: bool = False,
    ) -> Limits:
        _check_number("key_chars", key_chars)
        _check_number("value_bytes", value_bytes)
        _check_number("total_bytes", total_bytes)
        for name, switch in (("json_object_only", json_object_only), ("str_keys_only", str_keys_only)):
            if type(switch) is not bool:
                raise ValueError(f"{name} is True or False, not {switch!r}")
        return super().__new__(cls, key_chars, value_bytes, total_bytes, json_object_only, str_keys_only)

    def check_key(self, key: object, text: str) -> None:
        """Raise LimitError where `key`, whose text is `text`, is too long, InvalidKeyError where it had to be a str."""
        if self.str_keys_only and not isinstance(key, str):
            raise InvalidKeyError(f"this store takes keys of type str only, not {type(key).__qualname__}")
        if self.key_chars is not None:
            met = len(key if isinstance(key, str) else text)
            _check("key_chars", self.key_chars, met, "characters")

    def check_value(self, value: object, payload: bytes) -> None:
        """Raise LimitError where `payload` is too long, InvalidValueError where `value` had to be a dict."""
        if self.json_object_only and type(value) is not dict:
            raise InvalidValueError(f"this store takes JSON objects only (a dict), not {type(value).__qualname__}")
        if self.value_bytes is not None:
            _check("value_bytes", self.value_bytes, len(payload), "bytes")

    def check_total(self, met: int) -> None:
        """Raise LimitError where all values together would be `met` bytes and may not."""
        if self.total_bytes is not None:
            _check("total_bytes", self.total_bytes, met, "bytes")

    def as_json(self) -> dict[str, int]:
        """Return the limits that are set, for the manifest."""
        return {name: limit for name, limit in self._asdict().items() if limit}

    @classmethod
    def from_json(cls, fields: object) -> Limits:
        """Return the limits of a manifest. Unknown fields and bad numbers are a ValueError."""
        if type(fields) is not dict:
            raise ValueError(f"limits are a JSON object, not {fields!r}")
        unknown = [name for name in fields if name not in cls._fields]
        if unknown:
            raise ValueError(f"unknown limit {unknown[0]!r}; the limits are {', '.join(cls._fields)}")
        return cls(**fields)


def checked(limits: Limits | None) -> Limits:
    """Return the limits that were given, for None those that refuse nothing; anything else is a TypeError."""
    if limits is not None and not isinstance(limits, Limits):
        raise TypeError(f"limits is a Limits(…) or None, not {limits!r}")
    return limits or Limits()


def _check(limit: str, allowed: int, met: int, unit: str) -> None:
    if met > allowed:
        raise LimitError(limit, allowed, met, unit)


def _check_number(name: str, number: object) -> None:
    if number is not None and (type(number) is not int or number < 1):
        raise ValueError(f"{name} is a positive int or None, not {number!r}")

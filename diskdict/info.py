"""What is known of a key besides its value: `Info`, and metadata as the JSON text that stores keep."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from diskdict.codecs import JSON
from diskdict.errors import InvalidValueError
from diskdict.store import NEVER, Stat


class Info(NamedTuple):
    """A key at the moment of asking.

    Times are seconds since the epoch, ``expires_at`` is None without a time-to-live. ``size`` is that of the stored
    value in bytes, ``checksum`` its CRC-32 as ``"crc32:"`` and eight hexadecimal digits. ``version`` changes with every
    change of the key and is never used again. ``metadata`` cannot be changed here; `set_metadata` does that.
    """

    created_at: float
    updated_at: float
    expires_at: float | None
    size: int
    version: int
    checksum: str
    metadata: Mapping[str, object]


def describe(stat: Stat) -> Info:
    """Return what people see of a `Stat`."""
    return Info(
        created_at=stat.created,
        # The filesystem's clock goes by ticks of a few milliseconds.
        updated_at=max(stat.created, stat.updated),
        expires_at=None if stat.expires == NEVER else stat.expires,
        size=stat.size,
        version=stat.version,
        checksum=f"crc32:{stat.checksum:08x}",
        metadata=MappingProxyType(unpack(stat.meta)),
    )


def pack(metadata: Mapping[str, object]) -> str:
    """Return the text of a mapping of str to values that the codec ``"json"`` takes, empty for an empty mapping."""
    if not isinstance(metadata, Mapping):
        raise InvalidValueError(f"metadata is a mapping of str to values, not {metadata!r}")
    for name in metadata:
        if type(name) is not str:
            raise InvalidValueError(f"the keys of metadata are str, not {name!r}")
    return JSON.dumps(dict(metadata)).decode("utf-8", "surrogatepass") if metadata else ""


def unpack(text: str | None) -> dict[str, object]:
    """Return what `pack` was given, nothing for any other text."""
    if not text:
        return {}
    try:
        loaded = JSON.loads(text.encode("utf-8", "surrogatepass"))
    except ValueError:
        return {}
    return loaded if isinstance(loaded, dict) else {}

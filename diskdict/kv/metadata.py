"""What is known of a key besides its value, as a `KVStore` tells it: what people gave, and what the system knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from diskdict.errors import InvalidValueError
from diskdict.info import Info
from diskdict.store import Ttl

TTL: Final = "ttl"
CONTENT_TYPE: Final = "content_type"
ACCESSED: Final = "accessed_at"
SYSTEM: Final = frozenset({"created_at", "updated_at", ACCESSED, "expires_at", "size", "version", "checksum"})
"""Fields that only the system writes."""
_BY_TYPE: Final[dict[type, str]] = {str: "text/plain", bytes: "application/octet-stream"}


def given(metadata: Mapping[str, object] | None, ttl: Ttl) -> tuple[dict[str, object] | None, Ttl]:
    """Return what is to be stored of the metadata that was given, and the time-to-live: `ttl`, or that among it."""
    if metadata is None:
        return None, ttl
    if not isinstance(metadata, Mapping):
        raise InvalidValueError(f"metadata is a mapping of str to values, not {metadata!r}")
    taken = SYSTEM & metadata.keys()
    if taken:
        raise InvalidValueError(f"{sorted(taken)[0]!r} is written by the store alone")
    if TTL not in metadata:
        return dict(metadata), ttl
    kept = {name: value for name, value in metadata.items() if name != TTL}
    return kept, metadata[TTL] if ttl is None else ttl  # type: ignore[return-value]  # checked where it is used


def described(key: str, value: object, info: Info, *, tracked: bool) -> dict[str, object]:
    """Return all that is known of a key: its metadata, and the fields of the system.

    When it was read is among them if that is written down, and None if it would be and was not yet.
    """
    known = dict(info.metadata)
    if tracked:
        known.setdefault(ACCESSED, None)
    known.setdefault(CONTENT_TYPE, content_type(key, value))
    known.update(
        created_at=info.created_at,
        updated_at=info.updated_at,
        expires_at=info.expires_at,
        size=info.size,
        version=info.version,
        checksum=info.checksum,
    )
    return known


def content_type(key: str, value: object) -> str:
    """Return the media type that a value seems to have: by the end of its key, else by its type."""
    import mimetypes  # takes longer to load than a store takes to open, and only who asks for the type needs it

    named, _ = mimetypes.guess_type(key, strict=False)
    return named or _BY_TYPE.get(type(value), "application/json")

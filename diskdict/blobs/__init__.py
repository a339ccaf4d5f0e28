"""Files by key, as streams, and the wrappers around them."""

from diskdict.blobs.cached import Cached
from diskdict.blobs.compressed import Compressed
from diskdict.blobs.face import Blobs
from diskdict.blobs.rules import VALID_KEY_RE, VALID_KEY_RE_EXTENDED, VALID_KEY_REGEXP, VALID_KEY_REGEXP_EXTENDED
from diskdict.blobs.signed import Signed
from diskdict.blobs.store import BlobStore
from diskdict.blobs.urls import open_blobs
from diskdict.blobs.wrappers import HashIds, Prefixed, ReadOnly, UrlEncodedKeys, UuidIds, Wrapper

__all__ = [
    "VALID_KEY_RE",
    "VALID_KEY_REGEXP",
    "VALID_KEY_REGEXP_EXTENDED",
    "VALID_KEY_RE_EXTENDED",
    "BlobStore",
    "Blobs",
    "Cached",
    "Compressed",
    "HashIds",
    "Prefixed",
    "ReadOnly",
    "Signed",
    "UrlEncodedKeys",
    "UuidIds",
    "Wrapper",
    "open_blobs",
]

"""What operations share: parameters, headers of answers, answers, and `operation`, which puts them together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from diskdict.server.openapi.schemas import COUNT, FLAG, TEXT, Json, ref

_TAG: Final = {"type": "string", "pattern": '^"[0-9]+"$', "examples": ['"1048577"']}
_TAGS: Final = {
    "type": "string",
    "pattern": r'^(\*|(W/)?"[!#-~]*"([ \t]*,[ \t]*(W/)?"[!#-~]*")*)$',
    "examples": ['"1048577"', "*"],
}


def _parameter(place: str, name: str, schema: Json, description: str, required: bool = False) -> Json:
    return {"name": name, "in": place, "required": required, "schema": schema, "description": description}


def _query(name: str, schema: Json, description: str) -> Json:
    return _parameter("query", name, schema, description)


def _header(name: str, schema: Json, description: str) -> Json:
    return _parameter("header", name, schema, description)


PARAMETERS: Final[Json] = {
    "Key": _parameter("path", "key", {**ref("Key"), "minLength": 1}, "One segment: `/` is `%2F`.", required=True),
    "AnyKey": _query("key", {**ref("Key"), "default": ""}, "Any key, also what no path carries: empty, `.`, `..`."),
    "IfMatch": _header("If-Match", _TAGS, "Only if the key has one of these versions; `*`: if it is there."),
    "IfChanged": _header("If-None-Match", _TAGS, "Only if the key has none of these versions, else 304."),
    "IfNotThis": _header("If-None-Match", _TAGS, "Only if the key has none of these versions; `*`: is not there."),
    "Range": _header(
        "Range", {"type": "string", "examples": ["bytes=0-1023"]}, "One range of a value that is bytes; else the whole."
    ),
    "IfRange": _header(
        "If-Range", {"type": "string", "examples": ['"1048577"']}, "The range only if this is the ETag, else the whole."
    ),
    "Ttl": _query("ttl", ref("Ttl"), "Seconds to live, or `never`; the server's default where it is missing."),
    "TtlHeader": _header("X-TTL", ref("Ttl"), "As `ttl`, for who would rather send a header; not both."),
    "ExpiresAt": _header("X-Expires-At", ref("End"), "When it expires, in place of `ttl` and `X-TTL`."),
    "CreatedAt": _header("X-Created-At", ref("Time"), "For a new key: when it was created elsewhere."),
    "MetadataHeader": {
        "name": "X-Metadata",
        "in": "header",
        "required": False,
        "content": {"application/json": {"schema": ref("Metadata")}},
        "description": "What to keep beside the value: a JSON object in ASCII.",
    },
    "Keep": _query("keep", FLAG, "Keep time-to-live and metadata of the value that is there, where none is given."),
    "Match": _query("match", {**TEXT, "examples": ["inventory/*"]}, "A glob: `*`, `?`, `[a-z]`, `[!a-z]`."),
    "Prefix": _query("prefix", TEXT, "What the keys begin with."),
    "Limit": _query("limit", {"type": "integer", "minimum": 0, "maximum": 10_000, "default": 100}, "Keys at most."),
    "Reverse": _query("reverse", FLAG, "The newest first."),
    "Offset": _query("offset", COUNT | {"maximum": 2**53}, "Skip so many; not beside `cursor`."),
    "Count": _query("count", FLAG, "Tell how many fit in all, too."),
    "Cursor": _query("cursor", TEXT, "Where the last page ended; all else as it was."),
    "LastEventId": _header(
        "Last-Event-ID", {"type": "string", "examples": ["9f86d081-17"]}, "The last `id` that was seen."
    ),
}

HEADERS: Final[Json] = {
    "ETag": {"schema": _TAG, "description": "the version, in quotes", "required": True},
    "X-Created-At": {"schema": ref("Time"), "required": True},
    "X-Updated-At": {"schema": ref("Time"), "required": True},
    "X-Order": {"schema": COUNT, "description": "the place in the order of insertion", "required": True},
    "X-Expires-At": {"schema": ref("Time"), "description": "where it expires"},
    "X-TTL": {"schema": {"type": "number", "minimum": 0}, "description": "seconds left, where it expires"},
    "X-Metadata": {
        "content": {"application/json": {"schema": ref("Metadata")}},
        "description": "JSON in ASCII, where there is some",
    },
    "X-Metadata-Length": {"schema": COUNT, "description": "in place of metadata of more than 8 KiB: how long it is"},
    "X-Key": {"schema": TEXT, "description": "the key as it was first given, percent-encoded, where that differs"},
    "Accept-Ranges": {"schema": {"const": "bytes"}, "description": "where the value is bytes"},
    "Content-Range": {"schema": {"type": "string", "pattern": r"^bytes ([0-9]+-[0-9]+|\*)/[0-9]+$"}, "required": True},
}

ABOUT_KEY: Final = (
    "ETag",
    "X-Created-At",
    "X-Updated-At",
    "X-Order",
    "X-Expires-At",
    "X-TTL",
    "X-Metadata",
    "X-Metadata-Length",
    "X-Key",
    "Accept-Ranges",
)
"""The headers that tell all of a key but its value."""

PROBLEMS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("BadRequest", "A parameter, a header, a key or the body is not what it has to be."),
    401: ("Unauthorized", "`Authorization: Bearer TOKEN` is missing, or the token is another."),
    403: ("Forbidden", "The `Origin` of another site."),
    404: ("NotFound", "The key is not there, or has expired; there is no such queue or dead letter."),
    408: ("Timeout", "The body came too slowly."),
    409: ("Conflict", "What was to be made is there, the value is no number, the queue is full."),
    412: ("PreconditionFailed", "The key has not the version that was expected."),
    413: ("TooLarge", "The body is longer than the server takes, or the value longer than the store takes."),
    415: ("UnsupportedMediaType", "A body of a type that is not taken here."),
    416: ("RangeNotSatisfiable", "Nothing of the value lies in that range."),
    421: ("HostNotAllowed", "The `Host` is not this server's."),
    500: ("CorruptValue", "The value on disk is damaged."),
    503: ("Unavailable", "The disk refused to make a change durable, or the store is being closed."),
    507: ("InsufficientStorage", "The store's limit of bytes, or the disk, is full; there are too many queues."),
}


def responses() -> dict[str, Json]:
    """Return ``components/responses``: one for each problem, by its name."""
    found = {name: answer(text, "application/problem+json", ref("Problem")) for name, text in PROBLEMS.values()}
    found["Unauthorized"] = {**found["Unauthorized"], "headers": {"WWW-Authenticate": {"schema": TEXT}}}
    found["RangeNotSatisfiable"] = {
        **found["RangeNotSatisfiable"],
        "headers": {"Content-Range": ref("Content-Range", "headers")},
    }
    return found


def answer(description: str, media: str | None = None, schema: Json | None = None, headers: Iterable[str] = ()) -> Json:
    """Return an answer; with a body where there is a media type, and with these headers of `HEADERS`."""
    found: dict[str, object] = {"description": description}
    if headers:
        found["headers"] = {name: ref(name, "headers") for name in headers}
    if media is not None:
        found["content"] = {media: {} if schema is None else {"schema": schema}}
    return found


def json_answer(description: str, name: str, headers: Iterable[str] = ()) -> Json:
    """Return an answer whose body is JSON of the schema `name`."""
    return answer(description, "application/json", ref(name), headers)


def json_body(name: str, required: bool = True) -> Json:
    """Return a request's body that is JSON of the schema `name`."""
    return {"required": required, "content": {"application/json": {"schema": ref(name)}}}


def operation(
    name: str,
    tag: str,
    summary: str,
    answers: Mapping[int, Json],
    *,
    parameters: Iterable[str | Json] = (),
    body: Json | None = None,
    problems: Iterable[int] = (),
    changes: bool = False,
    public: bool = False,
    description: str = "",
) -> Json:
    """Return an operation: what is said of it, and all the problems that every operation of its sort can meet.

    ``name`` is its operationId. ``changes`` says that it changes something, ``public`` that it needs no token.
    """
    met = {400, 421, *problems}
    if not public:
        met |= {401, 503}
    if changes:
        met |= {403, 507}
    if body is not None:
        met |= {408, 413, 415}
    refused = {str(status): ref(PROBLEMS[status][0], "responses") for status in sorted(met)}
    found: dict[str, object] = {"operationId": name, "tags": [tag], "summary": summary}
    if description:
        found["description"] = description
    if public:
        found["security"] = []
    if parameters:
        found["parameters"] = [ref(each, "parameters") if isinstance(each, str) else each for each in parameters]
    if body is not None:
        found["requestBody"] = body
    found["responses"] = refused | {str(status): given for status, given in answers.items()}
    return found

"""The JSON Schemas of what travels in bodies: ``components/schemas``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Json = Mapping[str, object]
"""A part of the document: plain JSON."""


def ref(name: str, kind: str = "schemas") -> Json:
    """Return a reference to ``components/KIND/NAME``."""
    return {"$ref": f"#/components/{kind}/{name}"}


def record(required: Json, optional: Json | None = None, **more: object) -> Json:
    """Return the schema of a JSON object with these members and no others."""
    members = {**required, **(optional or {})}
    needed = {"required": list(required)} if required else {}
    return {"type": "object", "properties": members, **needed, "additionalProperties": False, **more}


def array(items: Json, **more: object) -> Json:
    """Return the schema of an array of `items`."""
    return {"type": "array", "items": items, **more}


def nullable(schema: Json) -> Json:
    """Return the schema of what `schema` describes, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


COUNT: Final = {"type": "integer", "minimum": 0}
TEXT: Final = {"type": "string"}
FLAG: Final = {"type": "boolean"}
TIME: Final = {"type": "number", "minimum": 0, "description": "seconds since the epoch"}

_END: Final = {
    "ttl": nullable(ref("Ttl")),
    "expires_at": nullable(ref("End")),
}
_WRITTEN: Final = {**_END, "metadata": nullable(ref("Metadata")), "created_at": nullable(ref("Time"))}
_AMENDED: Final = {
    **_END,
    "metadata": nullable(ref("Metadata")),
    "merge_metadata": nullable(ref("Metadata")),
}
_ONE_END: Final = {"not": {"required": ["ttl", "expires_at"]}}
_ONE_OF_EACH: Final = {"allOf": [_ONE_END, {"not": {"required": ["metadata", "merge_metadata"]}}]}


def _operation(op: str, members: Json | None = None, optional: Json | None = None, **more: object) -> Json:
    return record({"op": {"const": op}, "key": ref("Key"), **(members or {})}, optional, **more)


_VALUES: Final = {
    "Key": {
        "type": "string",
        "pattern": "^([^=]|$|=[sbifnTF(])",
        "description": "The text of a key: a str as it stands; a key of another type, and a str that begins with `=`, "
        "in the form of `diskdict.keys`: `=i42`, `=(=i1,tuple,)`, `=s=x`.",
        "examples": ["inventory/apple", "=i42", "=(=i1,tuple,)"],
    },
    "Value": {
        "description": "A value. Types that JSON does not have travel as an object with one member: `$tuple`, `$set`, "
        "`$frozenset`, `$dict`, `$bytes` (base64), `$float` (`inf`, `-inf`, `nan`), `$int` (hexadecimal), `$str`, "
        "`$date`, `$time`, `$datetime`, `$timedelta`, `$decimal`, `$uuid`.",
        "examples": [{"colour": "red", "count": 3}, {"$tuple": [1, 2]}, {"$bytes": "iVBORw0K"}],
    },
    "Metadata": {
        "type": "object",
        "description": "What is kept beside a value; its members are values.",
        "examples": [{"author": "A. Lovelace"}],
    },
    "Time": TIME,
    "End": {"anyOf": [TIME, {"const": "never"}], "examples": [2000000000.5, "never"]},
    "Ttl": {
        "anyOf": [{"type": "number", "minimum": 0}, {"const": "never"}],
        "description": "Seconds to live, or `never`.",
        "examples": [3600, "never"],
    },
    "Version": {
        "type": "integer",
        "minimum": 0,
        "description": "Changes with every change of a key and is never used again; the `ETag` without its quotes.",
        "examples": [1048577],
    },
}

_ONE: Final = {
    "Amendment": record({}, _AMENDED, **_ONE_OF_EACH, examples=[{"ttl": 60, "merge_metadata": {"seen": True}}]),
    "Increment": record({}, {"by": {"type": "number", "default": 1}}, examples=[{"by": 1}]),
    "Incremented": record(
        {"value": {"type": ["number", "object"], "description": "a number, or its tag"}}, examples=[{"value": 42}]
    ),
    "Rename": record({"to": ref("Key")}, examples=[{"to": "journal"}]),
    "Info": record(
        {
            "key": ref("Key"),
            "size": COUNT,
            "version": ref("Version"),
            "checksum": {"type": "string", "pattern": "^crc32:[0-9a-f]{8}$"},
            "created_at": ref("Time"),
            "updated_at": ref("Time"),
            "expires_at": nullable(ref("Time")),
            "ttl": {"type": ["number", "null"], "minimum": 0, "description": "seconds left"},
            "order": COUNT,
            "metadata": ref("Metadata"),
        }
    ),
}

_MANY: Final = {
    "Page": record(
        {
            "keys": array(
                record(
                    {
                        "key": ref("Key"),
                        "size": COUNT,
                        "created_at": ref("Time"),
                        "expires_at": nullable(ref("Time")),
                    }
                )
            ),
            "cursor": {"type": ["string", "null"], "description": "continues; null on the last page"},
        },
        {"total": {**COUNT, "description": "how many fit in all, with `count=true`"}},
    ),
    "Operation": {
        "oneOf": [
            _operation("get"),
            _operation("set", {"value": ref("Value")}, _WRITTEN, **_ONE_END),
            _operation("create", {"value": ref("Value")}, _WRITTEN, **_ONE_END),
            _operation("amend", {}, _AMENDED, **_ONE_OF_EACH),
            _operation("delete"),
        ],
    },
    "Batch": record(
        {"operations": array(ref("Operation"), maxItems=10_000)},
        {
            "expect": {
                "type": "object",
                "propertyNames": ref("Key"),
                "additionalProperties": nullable(ref("Version")),
                "description": "the version that each key must have, null where it must be missing",
            }
        },
        examples=[
            {
                "operations": [
                    {"op": "set", "key": "b", "value": 1, "ttl": 60},
                    {"op": "get", "key": "a"},
                    {"op": "delete", "key": "d"},
                ],
                "expect": {"c": None},
            }
        ],
    ),
    "Result": {
        "anyOf": [
            record(
                {
                    "found": {"const": True},
                    "key": ref("Key"),
                    "value": ref("Value"),
                    "version": ref("Version"),
                    "created_at": ref("Time"),
                    "updated_at": ref("Time"),
                    "expires_at": nullable(ref("Time")),
                    "order": COUNT,
                    "metadata": ref("Metadata"),
                },
                title="what get found",
            ),
            record({"found": FLAG}, title="of get where there is nothing, and of delete"),
            record({"found": FLAG, "version": ref("Version")}, title="of set, create and amend"),
        ],
    },
    "Results": record({"results": array(ref("Result"))}),
    "Removed": record({"removed": COUNT}, examples=[{"removed": 3}]),
}

_STORE: Final = {
    "Stats": record(
        {
            "keys": COUNT,
            "expired": COUNT,
            "payload_bytes": COUNT,
            "disk_bytes": COUNT,
            "inodes": COUNT,
            "shards": COUNT,
            "attributes": {"enum": ["xattr", "sidecar"]},
            "name": TEXT,
            "kind": TEXT,
            "codec": TEXT,
            "durability": {"enum": ["process", "interval", "full"]},
            "limits": {"type": "object"},
            "time": ref("Time"),
            "version": TEXT,
        }
    ),
    "Report": record(
        {
            "checked": COUNT,
            "ok": FLAG,
            "problems": array(
                record(
                    {
                        "path": TEXT,
                        "key": {"type": ["string", "null"]},
                        "problem": TEXT,
                        "detail": TEXT,
                        "action": TEXT,
                    }
                )
            ),
        }
    ),
    "BackupName": record(
        {},
        {"name": {"type": "string", "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$"}},
        examples=[{"name": "monday"}],
    ),
    "Backup": record({"path": TEXT, "files": COUNT}, examples=[{"path": "/srv/store.backups/monday", "files": 12}]),
    "Health": record({"status": {"const": "ok"}}),
}

_DATASTORE: Final = {
    "NewObject": record(
        {"key": TEXT, "value": {"type": "object"}},
        {"ttl": {"type": ["number", "null"], "minimum": 0, "description": "seconds to live"}},
        examples=[{"key": "anna", "value": {"age": 34}, "ttl": 3600}],
    ),
    "Success": record({"status": {"const": "success"}, "message": TEXT}),
    "SuccessWithValue": record({"status": {"const": "success"}, "message": TEXT, "value": {"type": "object"}}),
    "Failure": record({"status": {"const": "error"}, "message": TEXT}),
}

_PROBLEM: Final = {
    "Problem": {
        "type": "object",
        "description": "RFC 9457. `title` is the name of the error in Python.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "pattern": "^urn:diskdict:error:[A-Za-z]+$"},
            "title": {"type": "string", "pattern": "^[A-Za-z]+$"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": TEXT,
            "key": ref("Key"),
            "limit": {"enum": ["key_chars", "value_bytes", "total_bytes", "queues"]},
            "allowed": COUNT,
            "met": COUNT,
            "unit": {"enum": ["characters", "bytes", "queues"]},
        },
        "examples": [
            {
                "type": "urn:diskdict:error:KeyNotFoundError",
                "title": "KeyNotFoundError",
                "status": 404,
                "detail": "no live key 'a'",
                "key": "a",
            }
        ],
    }
}

SCHEMAS: Final[Json] = {**_VALUES, **_ONE, **_MANY, **_STORE, **_DATASTORE, **_PROBLEM}

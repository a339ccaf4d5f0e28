"""The operations on one key, by a segment of the path and by ``?key=``: a part of ``paths``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from diskdict.server.openapi.parts import ABOUT_KEY, answer, json_answer, json_body, operation
from diskdict.server.openapi.schemas import Json, ref

_WRITING: Final = ("Ttl", "TtlHeader", "ExpiresAt", "CreatedAt", "MetadataHeader")
_VALUE: Final = {
    "required": True,
    "content": {
        "application/json": {"schema": ref("Value")},
        "application/octet-stream": {"schema": {"description": "the value is these bytes"}},
    },
}
_FOUND: Final = {
    **answer("The value.", headers=ABOUT_KEY),
    "content": {
        "application/json": {"schema": ref("Value")},
        "application/octet-stream": {"schema": {"description": "the bytes"}},
    },
}
_PART: Final = answer("A part of the bytes.", "application/octet-stream", headers=(*ABOUT_KEY, "Content-Range"))
_SAME: Final = answer("Not changed since.", headers=("ETag",))
_DONE: Final = answer("Done.", headers=("ETag",))


def key_paths() -> dict[str, Json]:
    """Return the path items of one key."""
    by_path = _paths("/v1/keys/{key}", "Key", "$request.path.key", "")
    return {**by_path, **_paths("/v1/keys/", "AnyKey", "$request.query.key", "ByQuery")}


def _paths(path: str, key: str, expression: str, suffix: str) -> dict[str, Json]:
    def links(*names: str) -> dict[str, Json]:
        return {name + suffix: {"operationId": name + suffix, "parameters": {"key": expression}} for name in names}

    items: dict[str, Json] = {path: {**_reading(key, suffix), **_writing(key, suffix, links)}}
    items[f"{path}/info"] = {"get": _info(key, suffix)}
    items[f"{path}/increment"] = {"post": _increment(key, suffix)}
    items[f"{path}/rename"] = {"post": _rename(key, suffix)}
    return items


def _reading(key: str, suffix: str) -> dict[str, Json]:
    about = answer("As for GET, without the value.", headers=ABOUT_KEY)
    return {
        "get": operation(
            f"getKey{suffix}",
            "key",
            "Read a value",
            {200: _FOUND, 206: _PART, 304: _SAME},
            parameters=(key, "IfMatch", "IfChanged", "Range", "IfRange"),
            problems=(404, 412, 416, 500),
        ),
        "head": operation(
            f"headKey{suffix}",
            "key",
            "Ask for a value without reading it",
            {200: about, 304: _SAME},
            parameters=(key, "IfMatch", "IfChanged"),
            problems=(404, 412, 500),
        ),
    }


def _writing(key: str, suffix: str, links: Callable[..., dict[str, Json]]) -> dict[str, Json]:
    linked = links("getKey", "headKey", "deleteKey", "amendKey", "keyInfo")
    created = {**answer("The key is new.", headers=("ETag",)), "links": linked}
    replaced = {**answer("The value took the place of another.", headers=("ETag",)), "links": linked}
    return {
        "put": operation(
            f"putKey{suffix}",
            "key",
            "Write a value",
            {201: created, 204: replaced},
            parameters=(key, "IfMatch", "IfNotThis", "Keep", *_WRITING),
            body=_VALUE,
            problems=(412,),
            changes=True,
        ),
        "post": operation(
            f"createKey{suffix}",
            "key",
            "Write a value under a key that is not there",
            {201: created},
            parameters=(key, *_WRITING),
            body=_VALUE,
            problems=(409,),
            changes=True,
        ),
        "delete": operation(
            f"deleteKey{suffix}",
            "key",
            "Remove a key",
            {204: answer("It is gone.")},
            parameters=(key, "IfMatch"),
            problems=(404, 412),
            changes=True,
        ),
        "patch": operation(
            f"amendKey{suffix}",
            "key",
            "Change time-to-live and metadata; the value stays",
            {204: _DONE},
            parameters=(key, "IfMatch"),
            body=json_body("Amendment"),
            problems=(404, 412),
            changes=True,
        ),
    }


def _info(key: str, suffix: str) -> Json:
    return operation(
        f"keyInfo{suffix}",
        "key",
        "All that is known of a key but its value",
        {200: json_answer("What is known.", "Info")},
        parameters=(key,),
        problems=(404, 500),
    )


def _increment(key: str, suffix: str) -> Json:
    return operation(
        f"incrementKey{suffix}",
        "key",
        "Add to a number; a missing key counts from 0",
        {200: json_answer("The sum.", "Incremented", ("ETag",))},
        parameters=(key,),
        body=json_body("Increment", required=False),
        problems=(409, 500),
        changes=True,
    )


def _rename(key: str, suffix: str) -> Json:
    return operation(
        f"renameKey{suffix}",
        "key",
        "Give a key another name, which must be free",
        {204: _DONE},
        parameters=(key,),
        body=json_body("Rename"),
        problems=(404, 409),
        changes=True,
    )

"""The operations on many keys, on the store and on the server: the rest of ``paths``."""

from __future__ import annotations

from typing import Final

from diskdict.server.openapi.parts import answer, json_answer, json_body, operation
from diskdict.server.openapi.schemas import TEXT, Json

_NAME: Final = {"name": "name", "in": "path", "required": True, "schema": {**TEXT, "minLength": 1}}
_MEDIA: Final = ("text/html", "text/css", "text/javascript", "image/svg+xml")
_EVENTS: Final = """\
`event: set` or `event: delete` with `data: {"key": "a", "version": 1048577}` (no version for delete) and an `id:`
for `Last-Event-ID`. `event: reset`: what came in between is lost, read anew. A comment comes every 15 seconds. What
expires is not told."""


def other_paths() -> dict[str, Json]:
    """Return the path items of all that is not about one key."""
    return {**_many(), **_store(), **_server()}


def _many() -> dict[str, Json]:
    return {
        "/v1/keys": {
            "get": operation(
                "listKeys",
                "keys",
                "List keys in the order of insertion",
                {200: json_answer("A page of keys.", "Page")},
                parameters=("Match", "Prefix", "Limit", "Reverse", "Offset", "Count", "Cursor"),
            )
        },
        "/v1/batch": {
            "post": operation(
                "batch",
                "keys",
                "Several operations as one change, or none",
                {200: json_answer("A result for each operation.", "Results")},
                body=json_body("Batch"),
                problems=(404, 409, 412, 500),
                changes=True,
            )
        },
        "/v1/cleanup": {
            "post": operation(
                "cleanup",
                "keys",
                "Remove what has expired",
                {200: json_answer("How many keys were removed.", "Removed")},
                changes=True,
            )
        },
    }


def _store() -> dict[str, Json]:
    return {
        "/v1/stats": {
            "get": operation("stats", "store", "What the store is and holds", {200: json_answer("Figures.", "Stats")})
        },
        "/v1/verify": {
            "post": operation(
                "verify",
                "store",
                "Read every file and name those that are damaged",
                {200: json_answer("What was found.", "Report")},
                changes=True,
            )
        },
        "/v1/backup": {
            "post": operation(
                "backup",
                "store",
                "A consistent copy in a folder of that name; without one, of the time",
                {201: json_answer("The copy is there.", "Backup")},
                body=json_body("BackupName", required=False),
                problems=(409,),
                changes=True,
            )
        },
        "/v1/events": {
            "get": operation(
                "events",
                "store",
                "Changes as they happen",
                {200: answer("Server-sent events, without an end.", "text/event-stream", TEXT)},
                parameters=("Match", "Prefix", "LastEventId"),
                description=_EVENTS,
            )
        },
    }


def _server() -> dict[str, Json]:
    file = {"description": "The file.", "content": {media: {"schema": TEXT} for media in _MEDIA}}
    metrics = answer("Prometheus text.", "text/plain", TEXT)
    document = answer("OpenAPI 3.1.", "application/json", {"type": "object"})
    return {
        "/": {
            "get": operation(
                "page", "server", "A page for people", {200: answer("HTML.", "text/html", TEXT)}, public=True
            )
        },
        "/page/{name}": {
            "get": operation(
                "pageFile",
                "server",
                "A file of the page",
                {200: file},
                parameters=(_NAME,),
                public=True,
                problems=(404,),
            )
        },
        "/healthz": {
            "get": operation(
                "health", "server", "Is it there?", {200: json_answer("It is.", "Health")}, public=True, problems=(503,)
            )
        },
        "/metrics": {"get": operation("metrics", "server", "What was asked and how long it took", {200: metrics})},
        "/openapi.json": {"get": operation("openapi", "server", "This document", {200: document}, public=True)},
    }

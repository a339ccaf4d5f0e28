"""The operations of ``/datastore``, whose errors have a form of their own: a part of ``paths``."""

from __future__ import annotations

from typing import Final

from diskdict.server.openapi.parts import PROBLEMS, json_answer, json_body, operation
from diskdict.server.openapi.schemas import Json

_KEY: Final = {
    "name": "key",
    "in": "query",
    "required": True,
    "schema": {"type": "string", "examples": ["anna"]},
    "description": "A str as it stands, whatever it begins with.",
}


def datastore_paths() -> dict[str, Json]:
    """Return the path items of ``/datastore``."""
    create = operation(
        "datastoreCreate",
        "datastore",
        "Store a JSON object under a key that is not there",
        {201: json_answer("Stored.", "Success"), **_refusals(400, 408, 409, 413, 415, 503, 507)},
        body=json_body("NewObject"),
        changes=True,
    )
    read = operation(
        "datastoreRead",
        "datastore",
        "Read a JSON object",
        {200: json_answer("The object.", "SuccessWithValue"), **_refusals(400, 404, 500, 503)},
        parameters=(_KEY,),
    )
    delete = operation(
        "datastoreDelete",
        "datastore",
        "Remove a key",
        {200: json_answer("It is gone.", "Success"), **_refusals(400, 404, 503, 507)},
        parameters=(_KEY,),
        changes=True,
    )
    return {
        "/datastore/create": {"post": create},
        "/datastore/read": {"get": read},
        "/datastore/delete": {"delete": delete},
    }


def _refusals(*statuses: int) -> dict[int, Json]:
    """Return the errors of the datastore; what is refused before it is asked is a problem as everywhere."""
    return {status: json_answer(PROBLEMS[status][1], "Failure") for status in statuses}

"""The interface of the server for machines: an OpenAPI 3.1 document of what ``docs/http.rst`` says in words."""

from __future__ import annotations

from diskdict.server.openapi.datastore import datastore_paths
from diskdict.server.openapi.keys import key_paths
from diskdict.server.openapi.parts import HEADERS, PARAMETERS, responses
from diskdict.server.openapi.paths import other_paths
from diskdict.server.openapi.queues import QUEUE_SCHEMAS, queue_paths
from diskdict.server.openapi.schemas import SCHEMAS, Json

_TAGS = {
    "key": "One key and its value.",
    "keys": "Many keys.",
    "store": "The store as a whole.",
    "server": "The server itself.",
    "queue": "A queue and what is in it.",
    "dead letters": "What a queue gives no longer.",
    "datastore": "Create, read and delete JSON objects.",
}


def document(version: str) -> Json:
    """Return the document as plain JSON; ``version`` is that of the package."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "diskdict",
            "version": version,
            "summary": "A dict that lives in a folder.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "security": [{"token": []}, {}],
        "paths": dict(sorted({**key_paths(), **other_paths(), **queue_paths(), **datastore_paths()}.items())),
        "components": {
            "schemas": {**SCHEMAS, **QUEUE_SCHEMAS},
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "responses": responses(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The text of the file that `diskdict serve --token-file` names, where it does.",
                }
            },
        },
    }

"""The operations on queues: a part of ``paths``, and of ``components/schemas``."""

from __future__ import annotations

from typing import Final

from diskdict.messages import LONGEST_DELAY, LONGEST_WAIT, MOST_AT_ONCE
from diskdict.queues.items import MOST_DELIVERIES
from diskdict.server.openapi.parts import answer, json_answer, json_body, operation
from diskdict.server.openapi.schemas import COUNT, FLAG, TEXT, Json, array, nullable, record, ref

_NAME: Final = {"type": "string", "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$"}
_ID: Final = {**COUNT, "maximum": 2**53}
_DELAY: Final = {"type": "number", "minimum": 0, "maximum": LONGEST_DELAY}
_VISIBILITY: Final = {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_DELAY}
_WAIT: Final = {"type": "number", "minimum": 0, "maximum": LONGEST_WAIT, "default": 0}
_MADE: Final = {
    "kind": {"enum": ["fifo", "lifo", "priority"]},
    "maxsize": _ID,
    "visibility": _VISIBILITY,
    "max_deliveries": nullable({"type": "integer", "minimum": 1, "maximum": MOST_DELIVERIES}),
}
_PUT: Final = {"delay": _DELAY, "wait": {**_WAIT, "description": "seconds to wait for room"}}
_RECEIPT: Final = {"id": _ID, "deliveries": {"type": "integer", "minimum": 1, "maximum": 2**53}}
_LETTER: Final = {
    "id": COUNT,
    "reason": TEXT,
    "deliveries": COUNT,
    "put_time": ref("Time"),
    "died": ref("Time"),
    "damaged": FLAG,
    "size": COUNT,
}

QUEUE_SCHEMAS: Final[Json] = {
    "QueueNames": record({"queues": array(_NAME)}),
    "Making": record({}, _MADE, examples=[{"kind": "fifo", "visibility": 300, "max_deliveries": 5}]),
    "Queue": record(
        {"name": _NAME, **_MADE, "ready": COUNT, "delayed": COUNT, "in_flight": COUNT, "dead": COUNT, "waiting": COUNT}
    ),
    "Put": {
        "oneOf": [
            record(
                {"value": ref("Value")}, {**_PUT, "dedupe_key": nullable({**TEXT, "minLength": 1, "maxLength": 1_000})}
            ),
            record({"values": array(ref("Value"))}, _PUT),
        ],
        "examples": [{"value": {"url": "http://127.0.0.1/"}, "dedupe_key": "http://127.0.0.1/"}, {"values": [1, 2]}],
    },
    "Get": record(
        {},
        {
            "count": {"type": "integer", "minimum": 1, "maximum": MOST_AT_ONCE, "default": 1},
            "wait": {**_WAIT, "description": "seconds to wait for the first"},
        },
        examples=[{"count": 1, "wait": 0}],
    ),
    "Deliveries": record(
        {"deliveries": array(record({**_RECEIPT, "put_time": ref("Time"), "value": ref("Value")}))},
        examples=[{"deliveries": [{"id": 64, "deliveries": 1, "put_time": 1763737000.1, "value": {"n": 1}}]}],
    ),
    "Receipt": record(_RECEIPT, examples=[{"id": 64, "deliveries": 1}]),
    "GivenBack": record(_RECEIPT, {"delay": _DELAY}, examples=[{"id": 64, "deliveries": 1, "delay": 30}]),
    "Extension": record(_RECEIPT, {"visibility": nullable(_VISIBILITY)}, examples=[{"id": 64, "deliveries": 1}]),
    "Done": record({"done": FLAG}),
    "Peek": {
        "anyOf": [record({"found": {"const": False}}), record({"found": {"const": True}, "value": ref("Value")})],
    },
    "DeadLetters": record({"dead": array(record(_LETTER))}),
    "DeadLetter": record(
        {**_LETTER, "payload": {**TEXT, "contentEncoding": "base64"}},
        {"value": {**ref("Value"), "description": "where the payload can be read"}},
    ),
    "NewId": record({"id": COUNT}),
    "Requeued": record({"requeued": COUNT}),
}

_QUEUE: Final = {"name": "name", "in": "path", "required": True, "schema": _NAME}
_LETTER_ID: Final = {"name": "id", "in": "path", "required": True, "schema": _ID}
_LIMIT: Final = {
    "name": "limit",
    "in": "query",
    "schema": {"type": "integer", "minimum": 0, "maximum": 10_000, "default": 100},
    "description": "Dead letters at most.",
}
_FROM: Final = {"name": "from", "in": "query", "schema": _ID, "description": "Those of this id and above."}
_TAG: Final = "dead letters"
_GIVEN: Final = """\
What is delivered is in flight until it is acknowledged, by its `id` and `deliveries`, and comes back after the
visibility of the queue. A client that hangs up while it waits loses nothing."""
_ONCE: Final = """\
With `dedupe_key` nothing is put while an item with that key is waiting, delayed or in flight: so it can be repeated."""


def _path(rest: str) -> str:
    return f"/v1/queues/{{name}}/{rest}"


def queue_paths() -> dict[str, Json]:
    """Return the path items of queues."""
    return {**_queues(), **_items(), **_letters(), **_letter()}


def _queues() -> dict[str, Json]:
    one = (_QUEUE,)
    listed = json_answer("The names.", "QueueNames")
    about = operation(
        "queue",
        "queue",
        "What a queue was made with, and how much is in it",
        {200: json_answer("What is known.", "Queue")},
        parameters=one,
        problems=(404,),
    )
    make = operation(
        "makeQueue",
        "queue",
        "Make a queue with settings that it keeps",
        {201: answer("It is new."), 204: answer("It is there, and was made with these.")},
        parameters=one,
        body=json_body("Making"),
        problems=(409,),
        changes=True,
    )
    delete = operation(
        "deleteQueue",
        "queue",
        "Remove a queue with all that is in it",
        {204: answer("It is gone.")},
        parameters=one,
        problems=(404,),
        changes=True,
    )
    return {
        "/v1/queues": {"get": operation("listQueues", "queue", "Name all queues", {200: listed})},
        "/v1/queues/{name}": {"get": about, "put": make, "delete": delete},
    }


def _items() -> dict[str, Json]:
    one = (_QUEUE,)
    found = {
        **_receipts(),
        "put": operation(
            "putItems",
            "queue",
            "Put one item, or several as one change; the first put makes the queue",
            {204: answer("It is there.")},
            parameters=one,
            body=json_body("Put"),
            problems=(409,),
            changes=True,
            description=_ONCE,
        ),
        "get": operation(
            "getItems",
            "queue",
            "Get items as soon as there are some",
            {200: json_answer("What can be had; nothing, where the time was over.", "Deliveries")},
            parameters=one,
            body=json_body("Get", required=False),
            changes=True,
            description=_GIVEN,
        ),
    }
    peek = operation(
        "peekItem",
        "queue",
        "Look at what would be given next",
        {200: json_answer("Its value, if there is one.", "Peek")},
        parameters=one,
    )
    found["clear"] = operation(
        "clearQueue",
        "queue",
        "Remove every item; dead letters stay",
        {200: json_answer("How many items were removed.", "Removed")},
        parameters=one,
        changes=True,
    )
    paths: dict[str, Json] = {_path(name): {"post": each} for name, each in found.items()}
    return paths | {_path("peek"): {"get": peek}}


def _receipts() -> dict[str, Json]:
    done = {200: json_answer("Whether the delivery was still the last one of its item.", "Done")}
    found = {}
    for name, schema, summary in (
        ("ack", "Receipt", "Remove what was delivered"),
        ("nack", "GivenBack", "Give back what was delivered"),
        ("extend", "Extension", "Begin the visibility of what was delivered anew"),
    ):
        found[name] = operation(
            f"{name}Item", "queue", summary, done, parameters=(_QUEUE,), body=json_body(schema), changes=True
        )
    return found


def _letters() -> dict[str, Json]:
    one = (_QUEUE,)
    listed = operation(
        "listDeadLetters",
        _TAG,
        "List dead letters",
        {200: json_answer("A page, by ascending ids.", "DeadLetters")},
        parameters=(*one, _LIMIT, _FROM),
    )
    clear = operation(
        "clearDeadLetters",
        _TAG,
        "Remove all of them",
        {200: json_answer("How many.", "Removed")},
        parameters=one,
        changes=True,
    )
    requeue = operation(
        "requeueDeadLetters",
        _TAG,
        "Put all dead letters anew",
        {200: json_answer("How many.", "Requeued")},
        parameters=one,
        problems=(409,),
        changes=True,
    )
    return {
        "/v1/queues/{name}/dead": {"get": listed, "delete": clear},
        "/v1/queues/{name}/requeue": {"post": requeue},
    }


def _letter() -> dict[str, Json]:
    each = (_QUEUE, _LETTER_ID)
    found = operation(
        "deadLetter",
        _TAG,
        "One with its payload",
        {200: json_answer("It.", "DeadLetter")},
        parameters=each,
        problems=(404,),
    )
    delete = operation(
        "deleteDeadLetter",
        _TAG,
        "Remove one",
        {204: answer("It is gone.")},
        parameters=each,
        problems=(404,),
        changes=True,
    )
    requeue = operation(
        "requeueDeadLetter",
        _TAG,
        "Put one anew, with no deliveries",
        {200: json_answer("Its new id.", "NewId")},
        parameters=each,
        problems=(404, 409),
        changes=True,
    )
    path = "/v1/queues/{name}/dead/{id}"
    return {path: {"get": found, "delete": delete}, f"{path}/requeue": {"post": requeue}}

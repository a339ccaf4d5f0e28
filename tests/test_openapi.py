"""The document of the interface: it is valid, tells all, and the server keeps to it whatever is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.hooks import HookContext
from serving import started

from diskdict import DiskDict, keys
from diskdict.jsontext import TextError, untagged
from diskdict.messages import LONGEST_WAIT
from diskdict.server import ServedDict, application
from diskdict.server.openapi import document

TOKEN = "correct-horse-battery-staple"
DOCUMENT: dict[str, Any] = httpx.Response(200, json=document("0")).json()
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


schema = schemathesis.openapi.from_dict(DOCUMENT).exclude(path="/v1/events").exclude(path_regex="//")
CHECKS = schema.config.checks
CHECKS.positive_data_acceptance.expected_statuses += ["412", "416"]
CHECKS.negative_data_rejection.expected_statuses += ["412", "416"]


@schema.hook
def filter_case(context: HookContext, case: Case) -> bool:
    """Leave out texts that only `diskdict.keys` knows to be no keys, and damaged tags: no expression can tell."""
    sent = case.path_parameters, case.query, case.body
    return all(_is_key(text) for part in sent for text in _texts(part)) and all(
        _is_value(part) for part in (case.body, case.headers.get("X-Metadata"))
    )


def without_contradictions(case: Case) -> Case:
    """Take out what a document of parameters cannot say: that one end is enough, what a cursor is; and all waiting."""
    if isinstance(case.body, dict) and _waits(case.body.get("wait")):
        case.body["wait"] = 0
    if _is_positive(case):
        case.query.pop("cursor", None)
        for part, name in ends_of(case)[1:]:
            del part[name]
        for name in ("If-Match", "If-None-Match"):
            if case.headers.get(name, "*")[0] not in '"*W':  # schemathesis tries numbers without the quotes
                del case.headers[name]
    return case


def _is_positive(case: Case) -> bool:
    return case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE


def _waits(seconds: object) -> bool:
    return isinstance(seconds, int | float) and 0 < seconds <= LONGEST_WAIT


def ends_of(case: Case) -> list[tuple[MutableMapping[str, Any], str]]:
    """Return where a request says how long a value lives."""
    places = [(case.query, "ttl"), (case.headers, "X-TTL"), (case.headers, "X-Expires-At")]
    return [(part, name) for part, name in places if name in part]


def amended_ends(case: Case) -> list[tuple[MutableMapping[str, Any], str]]:
    """Return where a request changes how long a value lives."""
    return [(case.body, name) for name in ("ttl", "expires_at") if case.method == "PATCH" and name in case.body]


def _texts(part: object) -> Iterator[str]:
    if isinstance(part, str):
        yield unquote(part)
    elif isinstance(part, list):
        for each in part:
            yield from _texts(each)
    elif isinstance(part, dict):
        for name, each in part.items():
            yield from _texts(name)
            yield from _texts(each)


def _is_key(text: str) -> bool:
    try:
        keys.decode(text)
    except ValueError:
        return False
    return True


def _is_value(part: object) -> bool:
    with suppress(ValueError):
        part = json.loads(part) if isinstance(part, str) else part
    try:
        untagged(part)
    except TextError:
        return False
    return True


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a few keys; its store has to be sound in the end."""
    base = tmp_path_factory.mktemp("described")
    with DiskDict(base / "store") as d:
        d.update({"a": 1, "b": b"bytes", 3: {"x": [1, 2]}})
    (base / "token").write_text(TOKEN)
    with started(base / "store", "--backups", base / "copies", "--token-file", base / "token") as running:
        yield running.url
    assert running.process.returncode == 0
    with DiskDict(base / "store") as d:
        assert d.verify().ok


# ---- the document itself


def test_document_is_valid() -> None:
    """It is OpenAPI 3.1, with every reference resolved, every schema valid and every example in place."""
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_operations_have_names_of_their_own() -> None:
    """Generated clients call their methods by the operationId, so each has one, and a summary."""
    names = [operation["operationId"] for _, operation in operations()]

    assert len(set(names)) == len(names)
    assert all(operation["summary"] and operation["tags"] for _, operation in operations())


def test_all_that_is_shared_is_used() -> None:
    """No parameter, header, answer or schema of the document is left over."""
    text = json.dumps(DOCUMENT)
    unused = [
        f"{kind}/{name}"
        for kind, parts in DOCUMENT["components"].items()
        for name in parts
        if kind != "securitySchemes" and f'"#/components/{kind}/{name}"' not in text
    ]

    assert unused == []


@pytest.mark.parametrize("name", list(DOCUMENT["components"]["schemas"]))
def test_examples_fit_their_schemas(name: str) -> None:
    """What is shown as an example is one."""
    found = DOCUMENT["components"]["schemas"][name]
    whole = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    for example in found.get("examples", []):
        Draft202012Validator(whole).validate(example)


def test_every_route_is_described(folder: Path) -> None:
    """The application has the routes that the document has, with the same methods, and no others."""
    with ServedDict(folder) as served:
        app = application(served)
        routed = {(route.path, method) for route in app.routes for method in route.methods}
        app.service.close()
    told = {(path, operation["x-method"]) for path, operation in operations()}

    assert told <= routed
    assert {method for _, method in routed - told} == {"HEAD"}


def test_the_server_tells_the_document(url: str) -> None:
    """It comes from the server itself, without the token."""
    found = httpx.get(f"{url}/openapi.json").json()

    assert found | {"info": DOCUMENT["info"]} == DOCUMENT


# ---- what the server does


@schema.parametrize()
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_operation(case: Case, url: str) -> None:
    """Whatever fits the document is taken, whatever does not is refused, and every answer is as it says."""
    without_contradictions(case).call_and_validate(base_url=url, headers=HEADERS)


@pytest.mark.torture
@schema.parametrize()
@settings(max_examples=1_000, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_operation_for_long(case: Case, url: str) -> None:
    """The same with many more requests."""
    without_contradictions(case).call_and_validate(base_url=url, headers=HEADERS)


def follow_links(url: str, examples: int, steps: int) -> None:
    """Write keys, and go on with what the answers link to, by requests that name the one key in their address.

    The check of the tool knows no other way by which a key comes or goes: what is made again by an increment, a rename
    or a batch it takes for not deleted, and what has expired for lost.
    """
    walks = 0
    failures: list[FailureGroup] = []

    class Walk(schema.include(path_regex=r"^/v1/keys/(\{key\}(/info)?)?$").as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            nonlocal walks
            walks += 1

        def get_call_kwargs(self, case: Case) -> dict[str, object]:
            return {"base_url": url, "headers": HEADERS}

        def before_call(self, case: Case) -> None:
            # What is written has to be there later on; what is wrong on purpose stays so.
            if _is_positive(case):
                for part, name in [*ends_of(without_contradictions(case)), *amended_ends(case)]:
                    del part[name]

        def validate_response(self, *response: Any, **options: Any) -> None:
            try:
                super().validate_response(*response, **options)
            except FailureGroup as exc:
                failures.append(exc)
                raise

    while walks < examples and not failures:
        # The server remembers the walks before, and so the same draws may lead elsewhere: Hypothesis ends there.
        with suppress(Flaky):
            Walk.run(
                settings=settings(
                    max_examples=examples - walks,
                    stateful_step_count=steps,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                    phases=[Phase.generate],
                )
            )
    if failures:
        raise failures[0]


@pytest.mark.no_cover
def test_links(url: str) -> None:
    """What was written is there, what was deleted is gone, whatever comes in between."""
    follow_links(url, examples=10, steps=6)


@pytest.mark.torture
@pytest.mark.parametrize("_", range(6))
def test_links_for_long(url: str, _: int) -> None:
    """The same, for longer ways and many more of them, at times in which a test is not taken for hanging."""
    follow_links(url, examples=50, steps=20)


@pytest.mark.parametrize("parameters", [{}, {"match": "x*"}, {"prefix": "x"}])
def test_events(url: str, parameters: dict[str, str]) -> None:
    """The one operation without an end answers as the document has it."""
    with httpx.stream("GET", f"{url}/v1/events", params=parameters, headers=HEADERS) as found:
        httpx.put(f"{url}/v1/keys/xy", json=1, headers=HEADERS)
        lines = found.iter_lines()
        told = next(line for line in lines if line.startswith("data:"))

    assert found.status_code == 200
    assert found.headers["content-type"].partition(";")[0] in _operation("events")["responses"]["200"]["content"]
    assert json.loads(told.removeprefix("data:"))["key"] == "xy"


def test_unknown_parameters_of_events(url: str) -> None:
    """And refuses as it has it."""
    found = httpx.get(f"{url}/v1/events", params={"like": "x"}, headers=HEADERS)

    assert found.status_code == 400


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each operation of the document with its path."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield path, operation | {"x-method": method.upper()}


def _operation(name: str) -> dict[str, Any]:
    return next(operation for _, operation in operations() if operation["operationId"] == name)

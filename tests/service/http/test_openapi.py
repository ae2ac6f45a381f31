"""The OpenAPI document matches the server: every route, every answer, every key."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from service.settings import Settings
from tests.service.adapters import Made
from tests.service.live import Live, serving

PREDICT, MANAGE = "predict-key-0123456789", "manage-key-0123456789"
OPEN = {"/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"}
BINARY = {"application/octet-stream", "multipart/form-data", "image/jpeg", "image/png", "image/webp"}
MANAGED = re.compile(r"(put|patch|delete) .*|.*/(rollback|file|load|unload|classes)|.*/feedback.*")
_EXAMPLES = 15  # for each operation and mode
# What the bytes of an image or of an adapter must be is more than a schema can say.
_BEYOND_SCHEMAS: list[CheckFunction] = [positive_data_acceptance, negative_data_rejection]


@pytest.fixture(scope="module")
def guarded(made: dict[str, Made], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with keys."""
    path = tmp_path_factory.mktemp("guarded") / "store.db"
    keys = {"predict_key": PREDICT, "manage_key": MANAGE, "wrong_key_rate": 0}
    settings = Settings.model_validate({"store": str(path), **keys})
    with serving(settings, made) as server:
        yield server


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def document(guarded: Live) -> dict[str, Any]:
    found: dict[str, Any] = guarded.client.get("/openapi.json", headers=bearer(PREDICT)).json()
    return found


def operations(guarded: Live) -> Iterator[tuple[str, str]]:
    for path, methods in document(guarded)["paths"].items():
        yield from ((method, path) for method in methods)


def call(guarded: Live, method: str, path: str, key: str | None) -> httpx.Response:
    headers = {} if key is None else bearer(key)
    path = path.replace("{task}", "no-such-task").replace("{version}", "1").replace("{alias}", "live")
    return guarded.client.request(method, path, headers=headers)


def test_every_route_but_health_needs_a_key(guarded: Live) -> None:
    for method, path in [*operations(guarded), ("get", "/openapi.json")]:
        for key in (None, "wrong-key", PREDICT[:-1]):
            response = call(guarded, method, path, key)
            assert (response.status_code == 401) == (path not in OPEN), (method, path, response.text)
            assert ("www-authenticate" in response.headers) == (path not in OPEN)


def test_only_the_manage_key_uploads_and_deletes(guarded: Live) -> None:
    for method, path in operations(guarded):
        managed = MANAGED.fullmatch(f"{method} {path}") is not None or path == "/metrics"
        assert (call(guarded, method, path, PREDICT).status_code == 403) == managed, (method, path)
        assert call(guarded, method, path, MANAGE).status_code not in (401, 403)


def test_the_document_is_3_1_and_every_error_is_a_problem(guarded: Live) -> None:
    found = document(guarded)
    assert found["openapi"].startswith("3.1")
    for path, methods in found["paths"].items():
        kind = "application/json" if path.startswith("/v2") else "application/problem+json"
        for operation in methods.values():
            for status, response in operation["responses"].items():
                assert int(status) < 400 or list(response["content"]) == [kind]


def test_every_answer_and_every_error_has_an_example_that_fits_its_schema(guarded: Live) -> None:
    found = document(guarded)
    for path, method, where, content in contents(found):
        for kind, body in content.items():
            if kind in BINARY:
                continue
            examples = [example["value"] for example in body.get("examples", {}).values()]
            examples += [body["example"]] if "example" in body else []
            assert examples, f"{method} {path}: {where} {kind} has no example"
            validator = jsonschema_rs.validator_for({**body["schema"], "components": found["components"]})
            for example in examples:
                assert list(validator.iter_errors(example)) == [], f"{method} {path}: {where} {kind}"


def test_bodies_of_bytes_are_shown_as_commands(guarded: Live) -> None:
    for methods in document(guarded)["paths"].values():
        for operation in methods.values():
            bodies = [operation.get("requestBody", {}), operation["responses"].get("200", {})]
            binary = any(BINARY & body.get("content", {}).keys() for body in bodies)
            assert ("x-codeSamples" in operation) == binary, operation["operationId"]


def contents(found: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Every body that the document knows: path, method, where it stands, and its content by media type."""
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            yield path, method, "body", operation.get("requestBody", {}).get("content", {})
            for status, response in operation["responses"].items():
                yield path, method, status, response.get("content", {})


def test_a_server_without_keys_documents_none(live: Live) -> None:
    found = live.client.get("/openapi.json").json()
    assert not any("security" in operation for path in found["paths"].values() for operation in path.values())
    assert "securitySchemes" not in found["components"]


def schemas_in(part: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON
    """Every object in a part of the document."""
    if isinstance(part, dict):
        yield part
        for each in part.values():
            yield from schemas_in(each)
    elif isinstance(part, list):
        for each in part:
            yield from schemas_in(each)


def test_bounds_are_those_of_json_schema(guarded: Live) -> None:
    found = document(guarded)
    names = {name for part in (found["paths"], found["components"]) for each in schemas_in(part) for name in each}
    assert not names & {"ge", "le", "gt", "lt", "min_length", "max_length"}
    (number,) = [each for each in found["paths"]["/v1/tasks/{task}/versions/{version}"]["get"]["parameters"]
                 if each["name"] == "version"]  # fmt: skip
    assert (number["schema"]["type"], number["schema"]["minimum"], number["schema"]["maximum"]) == (
        "integer",
        1,
        2**53 - 1,
    )


def test_operations_have_short_names_that_are_theirs_alone(guarded: Live) -> None:
    found = [operation["operationId"] for path in document(guarded)["paths"].values() for operation in path.values()]
    assert len(set(found)) == len(found)
    assert {"predict", "list_tasks", "put_alias", "v2_infer"} <= set(found)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]{1,30}", name) for name in found)


def test_the_document_says_where_the_server_is_and_what_opens_it(guarded: Live) -> None:
    found = document(guarded)
    assert found["servers"] == [{"url": "/", "description": "the server that this document comes from"}]
    ((name, scheme),) = found["components"]["securitySchemes"].items()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for path, methods in found["paths"].items():
        for operation in methods.values():
            assert operation.get("security", []) == ([] if path in OPEN else [{name: []}])


def test_answers_may_gain_members_and_requests_may_not(guarded: Live) -> None:
    found = document(guarded)
    closed = {
        name for name, schema in found["components"]["schemas"].items() if not schema.get("additionalProperties", True)
    }
    assert closed == {
        "ByRequest", "ClassForm", "FanoutForm", "FanoutJson", "FeedbackForm", "IndexRequest",
        "InferenceRequest", "Input", "LoadRequest", "PredictForm",
        "PredictJson", "RequestedOutput", "TaskChange", "ToVersion", "ToWeights", "UploadForm",
    }  # fmt: skip
    for path, method, where, content in contents(found):
        for body in content.values():
            closed_here = [
                each for each in schemas_in(body.get("schema", {})) if not each.get("additionalProperties", True)
            ]
            assert closed_here == [], f"{method} {path}: {where}"
    assert "ignore those that you do not know" in found["info"]["description"]


def test_every_example_of_a_parameter_or_a_member_fits_its_schema(guarded: Live) -> None:
    found = document(guarded)
    count = 0
    for schema in schemas_in([found["paths"], found["components"]["schemas"]]):
        if isinstance(schema.get("examples"), list):
            validator = jsonschema_rs.validator_for({**schema, "components": found["components"]})
            for example in schema["examples"]:
                assert list(validator.iter_errors(example)) == [], schema
                count += 1
    assert count > 20


def test_parameters_are_never_null(guarded: Live) -> None:
    for path in document(guarded)["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                assert {"type": "null"} not in parameter["schema"].get("anyOf", ()), parameter


def fuzz(guarded: Live, operation: Any, mode: GenerationMode, task: str) -> None:  # noqa: ANN401 - not exported
    @settings(max_examples=_EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: "schemathesis.Case[Any]") -> None:
        if task and "task" in (case.path_parameters or {}):
            case.path_parameters["task"] = task
        response = case.call(headers=bearer(MANAGE))
        case.validate_response(response, excluded_checks=_BEYOND_SCHEMAS)

    check()


@pytest.mark.timeout(600)  # thousands of requests, on a machine that may be busy
def test_nothing_that_the_document_allows_or_forbids_leads_out_of_it(guarded: Live) -> None:
    schema = schemathesis.openapi.from_url(f"{guarded.client.base_url}/openapi.json", headers=bearer(PREDICT))
    found = [schema[path][method] for method, path in operations(guarded)]
    for operation, mode, task in itertools.product(found, GenerationMode, ("", "cats")):
        if mode is GenerationMode.NEGATIVE and operation.path in OPEN:
            continue  # nothing can be wrong about a request without parameters
        fuzz(guarded, operation, mode, task if operation.method == "post" else "")

"""Uploads over a real socket: options, checksums, preconditions, and the texts of refusals."""

import base64
import hashlib

import pytest

from service.descriptions import TaskDetail
from service.inputs.checksums import repr_digest
from service.schemas import UploadAnswer
from tests.service.adapters import Made, make
from tests.service.asking import put
from tests.service.hostile import refused
from tests.service.live import Live
from tests.service.misfits import wrong_golden
from tests.service.wire import ask, request

ONE, TWO = make(30), make(31, classes=5)


def test_a_task_tells_all_about_itself(live: Live, made: dict[str, Made]) -> None:
    response = live.client.get("/v1/tasks/dogs")
    found = TaskDetail.model_validate_json(response.content)
    assert response.headers["etag"] == f'"{found.generation}"'
    assert (found.ready, found.reason, found.served_generation) == (True, None, found.generation)
    assert [(alias.alias, alias.weights) for alias in found.aliases] == [("live", {"1": 1.0})]
    assert [(version.version, version.aliases) for version in found.versions] == [(1, ["live"])]


def test_a_task_without_a_live_version_is_described_by_its_newest(live: Live, task: str) -> None:
    for made in (ONE, TWO):
        assert live.client.put(f"/v1/tasks/{task}?activate=false", content=made.data).json()["active"] is False
    found = live.client.get(f"/v1/tasks/{task}").json()
    assert (found["ready"], found["version"], found["reason"]) == (False, 2, "no version is live")


def test_a_dry_run_answers_like_an_upload_and_publishes_nothing(live: Live, task: str) -> None:
    response = live.client.put(f"/v1/tasks/{task}?dry_run=true", content=ONE.data)
    found = UploadAnswer.model_validate_json(response.content)
    assert (response.status_code, found.dry_run, found.created, found.generation) == (200, True, True, 0)
    assert live.client.get(f"/v1/tasks/{task}").status_code == 404
    refused(live.client.put(f"/v1/tasks/{task}?dry_run=true", content=wrong_golden(ONE)), 422)


@pytest.mark.parametrize("query", ["?dryrun=1", "?dry_run=maybe", "?activate=", "?x"])
def test_an_option_that_is_none_is_refused(live: Live, task: str, query: str) -> None:
    refused(live.client.put(f"/v1/tasks/{task}{query}", content=ONE.data), 422)


def test_a_checksum_is_verified_in_each_of_its_forms(live: Live, task: str) -> None:
    right = repr_digest(ONE.sha256)
    for header, value in (
        ("Repr-Digest", right),
        ("Content-Digest", right),
        ("Digest", f"SHA-256={base64.b64encode(bytes.fromhex(ONE.sha256)).decode()}"),
    ):
        answer = live.client.put(f"/v1/tasks/{task}", content=ONE.data, headers={header: value})
        found = UploadAnswer.model_validate_json(answer.content)
        assert {check.name: check.outcome for check in found.checks}["checksum"] == "passed"
        wrong = value.replace(value[12], "A" if value[12] != "A" else "B")
        response = live.client.put(f"/v1/tasks/{task}", content=ONE.data, headers={header: wrong})
        refused(response, 422)
        assert response.json()["code"] == "checksum_mismatch"
    refused(live.client.put(f"/v1/tasks/{task}", content=ONE.data, headers={"Repr-Digest": "sha-1=:AA==:"}), 400)


def test_the_checksum_of_a_form_is_the_file_s_or_the_form_s(live: Live, task: str) -> None:
    request = live.client.build_request("PUT", f"/v1/tasks/{task}", files={"file": ("x", ONE.data)})
    whole = hashlib.sha256(request.read()).hexdigest()
    for sha256, status in ((ONE.sha256, 201), (whole, 200), (TWO.sha256, 422)):
        request.headers["Content-Digest"] = repr_digest(sha256)
        assert live.client.send(request).status_code == status


def test_an_upload_is_a_compare_and_swap_where_it_asks_for_one(live: Live, task: str) -> None:
    def upload(made: Made, **headers: str) -> tuple[int, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = live.client.put(f"/v1/tasks/{task}", content=made.data, headers=named)
        return response.status_code, response.headers.get("etag", response.json().get("code"))

    assert upload(ONE, If_Match="*") == (412, "stale_generation")
    status, etag = upload(ONE, If_None_Match="*")
    assert status == 201
    assert upload(TWO, If_None_Match="*") == (412, "stale_generation")
    assert upload(TWO, If_Match=etag)[0] == 201
    assert upload(ONE, If_Match=etag) == (412, "stale_generation")
    assert upload(ONE, If_Match="17") == (400, "malformed_header")
    assert live.client.get(f"/v1/tasks/{task}").json()["sha256"] == TWO.sha256


def test_a_refused_upload_names_the_failed_check_and_the_old_version_goes_on(live: Live, task: str) -> None:
    put(live, task, ONE.data)
    before = live.client.get(f"/v1/tasks/{task}").json()
    for data, check in ((TWO.data[:-1], "container"), (wrong_golden(TWO), "golden sample")):
        assert put(live, task, data).json()["detail"].endswith(f"The check that failed is: {check}")
    assert live.client.get(f"/v1/tasks/{task}").json() == before


def test_deleting_a_task_may_be_conditional(live: Live, task: str) -> None:
    etag = put(live, task, ONE.data).headers["etag"]
    refused(live.client.delete(f"/v1/tasks/{task}", headers={"If-Match": '"1"'}), 412)
    assert live.client.delete(f"/v1/tasks/{task}", headers={"If-Match": etag}).status_code == 204


def test_a_header_that_nobody_would_read_is_refused_before_the_file_has_come(live: Live) -> None:
    beginning = (20_000_000).to_bytes(8, "little") + b'{"a":' + b" " * 1000
    reply = ask(live, request("PUT", "/v1/tasks/long", "Content-Length: 20000008"), beginning)
    assert (reply.status, reply.code, reply.closed) == (422, "header_too_large", True)


def test_a_long_header_that_may_be_read_is_waited_for(live: Live) -> None:
    beginning = (2_000_000).to_bytes(8, "little") + b"{" + b" " * 1_999_998 + b"}"
    reply = ask(live, request("PUT", "/v1/tasks/long", f"Content-Length: {len(beginning)}"), beginning)
    assert (reply.status, reply.closed) == (422, False)

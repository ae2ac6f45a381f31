"""Tasks over a real socket: listed, described, uploaded, replaced, deleted."""

import pytest

from service.descriptions import TaskDetail
from service.schemas import TaskList, UploadAnswer
from tests.service.adapters import Made, make, saved_flops
from tests.service.asking import PNG, answer, predict, put, raw
from tests.service.live import Live


def test_the_list_names_every_task_and_what_answers(live: Live, made: dict[str, Made]) -> None:
    found = TaskList.model_validate_json(live.client.get("/v1/tasks").content)
    listed = {summary.task: summary for summary in found.tasks}
    assert [summary.task for summary in found.tasks] == sorted(listed)
    assert (listed["cats"].ready, listed["cats"].version, listed["cats"].classes) == (True, 1, 3)
    assert listed["cats"].sha256 == made["cats"].sha256
    assert (listed["cats"].bytes, listed["cats"].shares) == (len(made["cats"].data), {"1": 1.0})
    assert (listed["cats"].live_sites, listed["cats"].gflops_saved) == (2, saved_flops(made["cats"]) / 1e9)
    assert found.backbone_fingerprint == made["cats"].adapter.manifest.backbone.fingerprint


def test_a_task_tells_all_about_itself(live: Live, made: dict[str, Made]) -> None:
    found = TaskDetail.model_validate_json(live.client.get("/v1/tasks/dogs").content)
    manifest = made["dogs"].adapter.manifest
    assert (found.labels, found.widths) == (list(manifest.labels), list(manifest.widths))
    assert (found.live_sites, found.first_live_site, found.bytes) == (3, 0, len(made["dogs"].data))
    assert found.gflops == manifest.provenance.flops / 1e9
    assert found.provenance.metrics == {"validation_top1": 0.5}
    assert found.description == "made with seed 2"


def test_a_task_without_live_sites_shares_the_whole_trunk(live: Live) -> None:
    assert live.client.get("/v1/tasks/bare").json()["first_live_site"] is None


def test_a_description_is_changed_by_compare_and_swap_and_survives_a_new_version(live: Live, task: str) -> None:
    tag = put(live, task, make(71).data).headers["etag"]
    path, words = f"/v1/tasks/{task}", {"description": "cats, seen from above"}
    changed = live.client.patch(path, json=words, headers={"If-Match": tag})
    assert (changed.status_code, changed.json()["description"]) == (200, "cats, seen from above")
    assert changed.headers["etag"] == f'"{changed.json()["generation"]}"' != tag
    stale = live.client.patch(path, json={"description": ""}, headers={"If-Match": tag})
    assert (stale.status_code, stale.json()["code"]) == (412, "stale_generation")
    put(live, task, make(72).data)
    assert live.client.get(path).json()["description"] == "cats, seen from above"
    assert live.client.patch(path, json={"description": ""}).json()["description"] == "made with seed 72"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"description": "two\\nlines"}', 422),
        (b'{"description": "' + b"x" * 2001 + b'"}', 422),
        (b'{"description": 3}', 422),
        (b'{"description": "", "labels": []}', 422),
        (b"{}", 422),
        (b"", 422),
        (b"x", 400),
        (b"x" * 20_000, 413),
    ],
)
def test_a_description_is_one_line_and_nothing_else_can_be_changed(live: Live, body: bytes, status: int) -> None:
    assert live.client.patch("/v1/tasks/dogs", content=body).status_code == status
    assert live.client.get("/v1/tasks/dogs").json()["description"] == "made with seed 2"


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("POST", "/predict")])
def test_an_unknown_task_is_not_found(live: Live, method: str, path: str) -> None:
    response = live.client.request(method, f"/v1/tasks/nobody{path}")
    assert (response.status_code, response.json()["code"]) == (404, "unknown_task")


HOSTILE = [
    "%2e%2e",
    "%00",
    "a%00",
    "%0d%0a",
    "a%0a",
    "%ff",
    ".hidden",
    "Cat",
    "x" * 65,
    "%F0%9F%90%88",
    "a%20b",
    "-a",
    "a.b",
    "%5c",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/predict")])
def test_a_hostile_task_id_is_refused_on_every_route(live: Live, name: str, method: str, path: str) -> None:
    before = dict(live.service.registry.table)
    response = live.client.request(method, f"/v1/tasks/{name}{path}", content=PNG if method != "GET" else None)
    assert response.status_code == 422
    assert dict(live.service.registry.table) == before


def test_an_upload_answers_at_once_and_names_what_was_checked(live: Live, task: str) -> None:
    new = make(10)
    response = put(live, task, new.data)
    found = UploadAnswer.model_validate_json(response.content)
    assert (response.status_code, response.headers["location"]) == (201, f"/v1/tasks/{task}")
    assert (found.version, found.sha256, found.created) == (1, new.sha256, True)
    assert {check.name: check.outcome for check in found.checks}["golden sample"] == "passed"
    assert found.golden.reference <= found.golden.tolerance
    assert answer(predict(live, task, raw())).sha256 == new.sha256


def test_a_form_with_one_file_uploads_as_well(live: Live, task: str) -> None:
    response = live.client.put(f"/v1/tasks/{task}", files={"file": ("../../../etc/passwd", make(11).data)})
    assert response.status_code == 201


def test_a_new_version_replaces_the_old_and_known_bytes_come_back_as_theirs(live: Live, task: str) -> None:
    first, second = make(12), make(13, classes=9)
    assert [put(live, task, made.data).status_code for made in (first, second, first)] == [201, 201, 200]
    found = answer(predict(live, task, raw()))
    assert (found.version, found.sha256) == (1, first.sha256)


def test_a_deleted_task_is_gone_at_once_and_its_numbers_go_on(live: Live, task: str) -> None:
    put(live, task, make(14).data)
    assert live.client.delete(f"/v1/tasks/{task}").status_code == 204
    assert predict(live, task, raw()).status_code == 404
    assert task not in live.client.get("/metrics").text
    assert put(live, task, make(14).data).json()["version"] == 2


def test_the_same_file_may_serve_two_tasks_and_outlive_one(live: Live, task: str) -> None:
    data = make(15).data
    put(live, task, data)
    put(live, f"{task}-twin", data)
    live.client.delete(f"/v1/tasks/{task}")
    assert answer(predict(live, f"{task}-twin", raw())).version == 1

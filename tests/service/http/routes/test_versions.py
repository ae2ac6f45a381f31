"""Versions over a real socket: listed, described, downloaded to the byte, deleted."""

import re
from contextlib import ExitStack
from dataclasses import replace

import pytest

from adapters_store import Validation, pack
from adapters_store.answers import SOFTMAX
from service.descriptions import VersionDetail
from service.errors import ReadBacklog
from service.schemas import VersionList
from tests.service.adapters import make
from tests.service.asking import put
from tests.service.hostile import refused
from tests.service.live import Live
from tests.service.misfits import other_backbone

ONE, TWO = make(32), make(33, classes=5)


@pytest.fixture
def base(live: Live, task: str) -> str:
    """The versions of a task that has two, the second live."""
    for made in (ONE, TWO):
        put(live, task, made.data)
    return f"/v1/tasks/{task}/versions"


def test_versions_are_listed_newest_first_with_what_points_at_them(live: Live, base: str) -> None:
    response = live.client.get(base)
    found = VersionList.model_validate_json(response.content)
    assert [(one.version, one.sha256, one.aliases) for one in found.versions] == [
        (2, TWO.sha256, ["live"]),
        (1, ONE.sha256, []),
    ]
    assert response.headers["etag"] == f'"{found.generation}"'


def test_a_version_that_nothing_points_at_is_described_as_well(live: Live, base: str) -> None:
    found = VersionDetail.model_validate_json(live.client.get(f"{base}/1").content)
    manifest = ONE.adapter.manifest
    assert (found.labels, found.widths, found.bytes) == (list(manifest.labels), list(manifest.widths), len(ONE.data))
    assert (found.gflops, found.servable) == (manifest.provenance.flops / 1e9, True)
    assert found.backbone_fingerprint == manifest.backbone.fingerprint


def test_a_version_says_how_its_answers_are_read_and_how_good_they_were(live: Live, task: str) -> None:
    made = make(34, classes=3, activation=SOFTMAX)
    manifest = made.adapter.manifest
    figures = Validation(30, (0.9, 1.0, 0.8), (1.0, 0.7, 0.9), (0.95, 0.9, 0.85), ((0, 0, 10), (1, 0, 20)))
    assert manifest.answers is not None
    answers = replace(manifest.answers, validation=figures)
    put(live, task, pack(replace(made.adapter, manifest=replace(manifest, answers=answers))))
    put(live, task, ONE.data)
    found = VersionDetail.model_validate_json(live.client.get(f"/v1/tasks/{task}/versions/1").content).answers
    assert found is not None
    assert found.validation is not None
    assert (found.activation, found.temperature, found.thresholds) == (SOFTMAX, 2.0, [0.25] * 3)
    assert (found.known_share, found.validation.images) == (0.95, 30)
    assert (found.validation.recall, found.validation.confusion) == ([1.0, 0.7, 0.9], [[0, 0, 10], [1, 0, 20]])
    assert live.client.get(f"/v1/tasks/{task}/versions/2").json()["answers"] is None
    assert live.client.get(f"/v1/tasks/{task}").json()["answers"] is None  # those of the version that is live
    assert all("answers" not in each for each in live.client.get("/v1/tasks").json()["tasks"])


def test_a_version_for_another_backbone_is_described_without_what_it_would_save(live: Live, task: str) -> None:
    live.service.store.publish(task, other_backbone(ONE), alias=None)
    found = live.client.get(f"/v1/tasks/{task}/versions/1").json()
    assert (found["servable"], found["gflops_saved"], found["backbone"]) == (False, None, "swin_other")


def test_a_download_gives_the_exact_bytes_under_a_strong_tag(live: Live, base: str) -> None:
    response = live.client.get(f"{base}/1/file")
    assert (response.status_code, response.content) == (200, ONE.data)
    assert response.headers["etag"] == f'"{ONE.sha256}"'
    again = live.client.put(base.removesuffix("/versions"), content=response.content, headers={
        "Repr-Digest": response.headers["repr-digest"],
    })  # fmt: skip
    assert again.json()["created"] is False


def test_head_tells_what_a_download_would_bring(live: Live, base: str) -> None:
    head, get = live.client.head(f"{base}/2/file"), live.client.get(f"{base}/2/file")
    assert (head.status_code, head.content) == (200, b"")
    own = {"date": "", "x-request-id": ""}
    assert dict(head.headers) | own == dict(get.headers) | own


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_copy_that_is_the_same_is_not_sent_again(live: Live, base: str, method: str) -> None:
    for tags, status in ((f'"{ONE.sha256}"', 304), ("*", 304), (f'"x", W/"{ONE.sha256}"', 304), ('"x"', 200)):
        response = live.client.request(method, f"{base}/1/file", headers={"If-None-Match": tags})
        assert response.status_code == status
        assert response.headers["etag"] == f'"{ONE.sha256}"'
    assert live.client.request(method, f"{base}/1/file", headers={"If-None-Match": "x"}).status_code == 400


def test_only_so_many_downloads_run_at_once(live: Live, base: str) -> None:
    with ExitStack() as running:
        for _ in range(live.service.settings.downloads):
            running.enter_context(live.service.downloads.one())
        response = live.client.get(f"{base}/1/file")
        refused(response, 503)
        assert response.json()["code"] == "read_backlog"
        assert live.client.head(f"{base}/1/file").status_code == 200
    assert live.client.get(f"{base}/1/file").status_code == 200


def test_a_full_line_of_reads_is_told_at_once(live: Live, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(_job: object) -> None:
        raise ReadBacklog("full")

    monkeypatch.setattr(live.service.reads, "run", full)
    refused(live.client.get(base), 503)


def test_a_version_is_deleted_unless_an_alias_points_at_it(live: Live, base: str) -> None:
    response = live.client.delete(f"{base}/2")
    refused(response, 409)
    assert response.json()["code"] == "version_in_use"
    refused(live.client.delete(f"{base}/1", headers={"If-Match": '"1"'}), 412)
    deleted = live.client.delete(f"{base}/1")
    assert deleted.status_code == 204
    assert re.fullmatch(r'"\d+"', deleted.headers["etag"])
    refused(live.client.get(f"{base}/1"), 404)
    refused(live.client.get(f"{base}/1/file"), 404)


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5", "9" * 30, "9" * 5000, "%00", "%0a", "1%20"])
@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("GET", "/file"), ("HEAD", "/file")])
def test_what_is_no_version_number_is_refused(live: Live, number: str, method: str, path: str) -> None:
    assert live.client.request(method, f"/v1/tasks/cats/versions/{number}{path}").status_code in (404, 422)


@pytest.mark.parametrize("path", ["nobody/versions", "nobody/versions/1", "cats/versions/9", "cats/versions/9/file"])
def test_what_is_not_there_is_not_found(live: Live, path: str) -> None:
    refused(live.client.get(f"/v1/tasks/{path}"), 404)

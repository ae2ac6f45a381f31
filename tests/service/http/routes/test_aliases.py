"""Aliases over a real socket: moved, split, rolled back, deleted; in force when the answer comes."""

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.schemas import AliasAnswer, AliasList
from tests.service.adapters import make
from tests.service.asking import PNG, put
from tests.service.hostile import quick, refused
from tests.service.live import Live

ONE, TWO = make(34), make(35, classes=5)


@pytest.fixture
def base(live: Live, task: str) -> str:
    """A task with two versions, the second live."""
    for made in (ONE, TWO):
        put(live, task, made.data)
    return f"/v1/tasks/{task}"


def shares(response: httpx.Response) -> dict[str, float]:
    assert response.status_code == 200, response.text
    found = AliasAnswer.model_validate_json(response.content)
    assert response.headers["etag"] == f'"{found.generation}"'
    return found.weights


def live_versions(live: Live, base: str) -> list[int]:
    return [served.info.version for served, _ in live.service.registry.table[base.rpartition("/")[2]].split]


def test_an_alias_points_at_one_version_or_splits_its_traffic(live: Live, base: str) -> None:
    url = f"{base}/aliases/live"
    assert shares(live.client.get(url)) == {"2": 1.0}
    assert shares(live.client.put(url, json={"version": 1})) == {"1": 1.0}
    assert live_versions(live, base) == [1]
    assert shares(live.client.put(url, json={"weights": {"1": 0.9, "2": 0.1}})) == {"1": 0.9, "2": 0.1}
    assert sorted(live_versions(live, base)) == [1, 2]
    assert shares(live.client.get(url)) == {"1": 0.9, "2": 0.1}


def test_setting_what_is_set_changes_nothing(live: Live, base: str) -> None:
    url = f"{base}/aliases/live"
    tags = {live.client.put(url, json={"weights": {"1": weight, "2": weight}}).headers["etag"] for weight in (1, 0.5)}
    assert len(tags) == 1


def test_aliases_are_listed_by_name_and_go_one_by_one(live: Live, base: str) -> None:
    live.client.put(f"{base}/aliases/canary", json={"version": 1})
    found = AliasList.model_validate_json(live.client.get(f"{base}/aliases").content)
    assert [(one.alias, one.weights) for one in found.aliases] == [("canary", {"1": 1.0}), ("live", {"2": 1.0})]
    refused(live.client.delete(f"{base}/versions/1"), 409)
    assert live.client.delete(f"{base}/aliases/canary").status_code == 204
    refused(live.client.get(f"{base}/aliases/canary"), 404)
    refused(live.client.delete(f"{base}/aliases/canary"), 404)
    assert live.client.delete(f"{base}/versions/1").status_code == 204


def test_one_call_rolls_back_and_the_next_one_undoes_it(live: Live, base: str) -> None:
    live.client.put(f"{base}/aliases/live", json={"weights": {"1": 3, "2": 1}})
    live.client.put(f"{base}/aliases/live", json={"version": 1})
    assert shares(live.client.post(f"{base}/rollback")) == {"1": 0.75, "2": 0.25}
    assert sorted(live_versions(live, base)) == [1, 2]
    assert shares(live.client.post(f"{base}/rollback?alias=live")) == {"1": 1.0}


def test_an_upload_is_rolled_back_like_any_move(live: Live, base: str) -> None:
    assert shares(live.client.post(f"{base}/rollback")) == {"1": 1.0}
    assert live.client.get(base).json()["sha256"] == ONE.sha256


def test_without_an_earlier_target_there_is_no_rollback(live: Live, base: str) -> None:
    live.client.put(f"{base}/aliases/canary", json={"version": 1})
    response = live.client.post(f"{base}/rollback?alias=canary")
    refused(response, 409)
    assert response.json()["code"] == "nothing_to_roll_back"
    refused(live.client.post(f"{base}/rollback?alias=next"), 404)
    refused(live.client.post(f"{base}/rollback?alias=9"), 422)


def test_every_change_honours_if_match(live: Live, base: str) -> None:
    stale, url = {"If-Match": '"1"'}, f"{base}/aliases/live"
    refused(live.client.put(url, json={"version": 1}, headers=stale), 412)
    refused(live.client.delete(url, headers=stale), 412)
    refused(live.client.post(f"{base}/rollback", headers=stale), 412)
    etag = live.client.get(url).headers["etag"]
    moved = live.client.put(url, json={"version": 1}, headers={"If-Match": etag})
    assert shares(moved) == {"1": 1.0}
    assert shares(live.client.post(f"{base}/rollback", headers={"If-Match": moved.headers["etag"]})) == {"2": 1.0}


def test_deleting_live_says_what_it_does_and_is_confirmed(live: Live, base: str) -> None:
    url = f"{base}/aliases/live"
    asked = live.client.delete(url)
    refused(asked, 428)
    assert asked.json()["code"] == "confirmation_required"
    etag = live.client.get(url).headers["etag"]
    assert f"If-Match: {etag}" in asked.json()["detail"]
    assert live.client.delete(url, headers={"If-Match": etag}).status_code == 204


def test_a_task_that_is_not_live_is_no_fault_of_the_server_and_no_reason_to_ask_again(live: Live, base: str) -> None:
    live.client.delete(f"{base}/aliases/live", headers={"If-Match": "*"})
    task = base.rpartition("/")[2]
    for path, code in ((f"{base}/predict", "no_live_version"), (f"/v2/models/{task}/infer", None)):
        found = live.client.post(path, content=PNG, headers={"Inference-Header-Content-Length": "0"})
        assert (found.status_code, found.json().get("code")) == (404, code)
        assert "retry-after" not in found.headers
    live.client.put(f"{base}/aliases/live", json={"version": 1})
    live.client.post(f"/v2/repository/models/{task}/unload")
    found = live.client.post(f"{base}/predict", content=PNG)
    assert (found.status_code, found.json()["code"]) == (409, "task_unloaded")
    assert "retry-after" not in found.headers


BAD = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b"\xff",
    b"{" * 99,
    b'{"version": 1, "version": 2}',
    b'{"version": 1, "weights": {"1": 1}}',
    b'{"version": "1"}',
    b'{"version": true}',
    b'{"version": 0}',
    b'{"version": 99999999999999999999}',
    b'{"weights": {}}',
    b'{"weights": {"1": 0}}',
    b'{"weights": {"1": -1}}',
    b'{"weights": {"1": NaN}}',
    b'{"weights": {"1": 1e999}}',
    b'{"weights": {"+1": 1}}',
    b'{"weights": {"1": "0.5"}}',
    b'{"weights": {"01": 1}}',
]


@pytest.mark.parametrize("body", BAD)
def test_a_target_that_is_none_is_refused(live: Live, base: str, body: bytes) -> None:
    before = live.client.get(base).json()
    refused(live.client.put(f"{base}/aliases/live", content=body), 400, 422)
    assert live.client.get(base).json() == before


def test_a_target_that_is_not_there_is_not_found(live: Live, base: str) -> None:
    response = live.client.put(f"{base}/aliases/live", json={"weights": {"1": 1, "9": 1}})
    assert (response.status_code, response.json()["code"]) == (404, "unknown_version")
    refused(live.client.put("/v1/tasks/nobody/aliases/live", json={"version": 1}), 404)


def test_a_target_is_a_small_document(live: Live, base: str) -> None:
    refused(live.client.put(f"{base}/aliases/live", content=b'{"version": 1' + b" " * 20_000 + b"}"), 413)


@pytest.mark.parametrize("alias", ["Live", "1", "%2e%2e", "a%00", "a%0a", "x" * 65, "-", "a.b", "%ff"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_hostile_alias_is_refused(live: Live, alias: str, method: str) -> None:
    body = b'{"version": 1}' if method == "PUT" else None
    refused(live.client.request(method, f"/v1/tasks/cats/aliases/{alias}", content=body), 404, 422)


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
KEYS = st.sampled_from(["version", "weights", "1", "x"])
DOCUMENTS = st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner), max_leaves=6)


@quick
@given(DOCUMENTS)
def test_no_document_does_more_than_be_refused(live: Live, document: object) -> None:
    response = live.client.put("/v1/tasks/cats/aliases/fuzzed", json=document)
    assert response.status_code in (200, 404, 400, 422)
    live.client.delete("/v1/tasks/cats/aliases/fuzzed")

"""Lists over a real socket: page by page, filtered, while entries come and go."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from service.client import AsyncClient, Client
from service.schemas import TaskList, VersionList
from tests.service.adapters import make
from tests.service.asking import put
from tests.service.live import Live

TASKS = [f"page-{letter}" for letter in "abcdefg"]


@pytest.fixture(scope="module")
def paged(live: Live) -> Iterator[Live]:
    """The server with seven more tasks."""
    data = make(1090).data
    for task in TASKS:
        put(live, task, data)
    yield live
    for task in TASKS:
        live.client.delete(f"/v1/tasks/{task}")


def page(live: Live, path: str = "/v1/tasks", **query: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    response = live.client.get(path, params=query)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def names(found: dict[str, Any]) -> list[str]:
    return [entry["task"] for entry in found["tasks"]]


def test_pages_put_together_are_the_whole_list(paged: Live) -> None:
    found, cursor = list[str](), None
    while True:
        part = page(paged, prefix="page-", limit=3, **({"cursor": cursor} if cursor else {}))
        found += names(TaskList.model_validate(part).model_dump())
        cursor = part["next"]
        if cursor is None:
            break
    assert found == TASKS


def test_the_last_page_says_so_even_where_it_is_full(paged: Live) -> None:
    assert page(paged, prefix="page-", limit=7)["next"] is None
    assert page(paged, prefix="page-", limit=6)["next"] is not None
    assert page(paged, prefix="no-such-")["tasks"] == []


def test_a_cursor_stays_valid_while_tasks_come_and_go(paged: Live) -> None:
    first = page(paged, prefix="page-", limit=3)
    paged.client.delete("/v1/tasks/page-c")  # the one that the cursor names
    put(paged, "page-aa", make(1090).data)  # before it: seen by the next reader
    put(paged, "page-dd", make(1090).data)  # behind it
    try:
        rest = page(paged, prefix="page-", cursor=first["next"])
        assert names(rest) == ["page-d", "page-dd", "page-e", "page-f", "page-g"]
    finally:
        for extra in ("page-aa", "page-dd"):
            paged.client.delete(f"/v1/tasks/{extra}")
        put(paged, "page-c", make(1090).data)


def test_the_link_header_leads_to_the_next_page(paged: Live) -> None:
    response = paged.client.get("/v1/tasks", params={"prefix": "page-", "limit": 4})
    assert response.headers["link"] == f'<?prefix=page-&limit=4&cursor={response.json()["next"]}>; rel="next"'
    following = paged.client.get(response.url.join(response.links["next"]["url"]))
    assert names(following.json()) == TASKS[4:]
    assert "link" not in following.headers


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 1001},
        {"limit": "x"},
        {"cursor": "x"},
        {"cursor": "%%%"},
        {"cursor": "é"},
        {"cursor": "Li4vLi4"},  # ../..
        {"cursor": "x" * 129},
        {"prefix": "x" * 65},
        {"cursor": ""},
        {"page": 2},
    ],
)
@pytest.mark.parametrize("path", ["/v1/tasks", "/v1/tasks/cats/versions"])
def test_a_page_that_cannot_be_is_refused(live: Live, path: str, query: dict[str, str]) -> None:
    response = live.client.get(path, params=query)
    wanted = 200 if query == {"cursor": ""} else 422  # an empty cursor is the first page
    assert response.status_code == wanted, response.text


def test_versions_come_newest_first_by_page_and_by_hash(live: Live, task: str) -> None:
    made = [make(seed) for seed in range(1091, 1096)]
    for each in made:
        put(live, task, each.data)
    path = f"/v1/tasks/{task}/versions"
    first = VersionList.model_validate(page(live, path, limit=2))
    assert [entry.version for entry in first.versions] == [5, 4]
    live.client.delete(f"{path}/4")
    rest = VersionList.model_validate(page(live, path, limit=2, cursor=first.next))
    assert ([entry.version for entry in rest.versions], rest.next is None) == ([3, 2], False)
    (only,) = page(live, path, prefix=made[0].sha256[:12])["versions"]
    assert (only["version"], only["sha256"]) == (1, made[0].sha256)


def test_both_clients_list_what_there_is(paged: Live) -> None:
    url = str(paged.client.base_url)
    with Client(url) as client:
        assert [entry.task for entry in client.tasks(prefix="page-").tasks] == TASKS
        assert [entry.task for entry in client.task_page(prefix="page-", limit=2).tasks] == TASKS[:2]
        assert len(client.versions("cats").versions) == 1

    async def ask() -> list[str]:
        async with AsyncClient(url) as other:
            assert len((await other.versions("cats")).versions) == 1
            return [entry.task for entry in (await other.tasks(prefix="page-")).tasks]

    assert asyncio.run(ask()) == TASKS

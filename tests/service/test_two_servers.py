"""Two real server processes over one store: each follows what the other publishes, moves and deletes."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.service.adapters import make
from tests.service.live import PATIENCE
from tests.service.processes import running

pytestmark = pytest.mark.timeout(400)  # each process imports torch, which takes its time on a busy machine

ONE, TWO = make(36), make(37, classes=5)
Both = tuple[httpx.Client, httpx.Client]


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    """Clients of two servers that look at their store twenty times a second."""
    settings = {"store": str(tmp_path / "store.db"), "follow_seconds": "0.05"}
    with (
        running("service", **settings) as (_, first),
        running("service", **settings) as (_, second),
        httpx.Client(base_url=first, timeout=PATIENCE) as here,
        httpx.Client(base_url=second, timeout=PATIENCE) as there,
    ):
        yield here, there


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came true"


def seen(client: httpx.Client) -> dict[str, Any]:
    """A server's answer about the task, and its generation."""
    found: dict[str, Any] = client.get("/v1/tasks/cats").json()
    return found


def ready(client: httpx.Client) -> int:
    return client.get("/v2/models/cats/ready").status_code


def test_each_server_follows_what_the_other_does(both: Both) -> None:
    here, there = both
    etag = here.put("/v1/tasks/cats", content=ONE.data).headers["etag"]
    until(lambda: seen(there).get("served_generation") == int(etag.strip('"')))
    assert (seen(there)["ready"], seen(there)["sha256"]) == (True, ONE.sha256)

    stale = there.put("/v1/tasks/cats", content=TWO.data, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    moved = there.put("/v1/tasks/cats", content=TWO.data, headers={"If-Match": etag})
    assert moved.status_code == 201
    generation = moved.json()["generation"]
    until(lambda: seen(here)["served_generation"] == generation)
    assert here.get("/v1/tasks").json()["tasks"][0]["version"] == 2

    back = here.post("/v1/tasks/cats/rollback").json()
    assert back["weights"] == {"1": 1.0}
    until(lambda: seen(there)["served_generation"] == back["generation"])
    assert there.get("/v1/tasks/cats/versions/2/file").content == TWO.data

    assert here.post("/v2/repository/models/cats/unload").status_code == 200
    assert [ready(server) for server in (here, there)] == [503, 200]  # unloading is one replica's own affair
    again = there.put("/v1/tasks/cats", content=TWO.data).json()["generation"]
    until(lambda: seen(here)["served_generation"] == again)
    assert [ready(server) for server in (here, there)] == [503, 200]  # whatever others publish meanwhile
    assert here.post("/v2/repository/models/cats/load").status_code == 200
    assert [ready(server) for server in (here, there)] == [200, 200]

    assert there.delete("/v1/tasks/cats").status_code == 204
    until(lambda: "cats" not in [task["task"] for task in here.get("/v1/tasks").json()["tasks"]])

"""A real full disk: 507, no trace, and the old version goes on answering."""

import resource
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.service.adapters import make
from tests.service.asking import PNG
from tests.service.live import PATIENCE
from tests.service.processes import running

ONE, TWO = make(38), make(39, classes=50)
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process")
@pytest.mark.timeout(400)  # it starts a process that imports torch, which takes its time on a busy machine
@pytest.mark.parametrize("store", ["{}/store.db", "file://{}/store"])
def test_an_upload_that_finds_no_room_is_told_so(tmp_path: Path, store: str) -> None:
    with (
        running("service", store=store.format(tmp_path)) as (server, address),
        httpx.Client(base_url=address, timeout=PATIENCE) as client,
    ):
        assert client.put("/v1/tasks/cats", content=ONE.data).status_code == 201
        before = client.get("/v1/tasks/cats").json()
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
        for request in (
            client.build_request("PUT", "/v1/tasks/cats", content=TWO.data),
            client.build_request("PUT", "/v1/tasks/dogs", content=TWO.data),
        ):
            refused = client.send(request)
            assert (refused.status_code, refused.json()["code"]) == (507, "store_full")
            assert str(tmp_path) not in refused.text
        assert client.get("/v1/tasks/cats").json() == before
        assert client.get("/v1/tasks/dogs").status_code == 404
        assert client.post("/v1/tasks/cats/predict", content=PNG).json()["sha256"] == ONE.sha256
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, UNLIMITED)
        assert client.put("/v1/tasks/cats", content=TWO.data).status_code == 201

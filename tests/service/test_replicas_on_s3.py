"""Replicas over one store in S3: a start with a thousand tasks, and changes that all of them see soon."""

import hashlib
import time
from collections.abc import Iterator

import httpx2 as httpx
import psutil  # type: ignore[import-untyped]
import pytest

from service.settings import Settings
from tests.adapters_store.test_s3 import many
from tests.s3_server import S3, server
from tests.service.adapters import make
from tests.service.asking import PNG
from tests.service.live import PATIENCE, Live, serving
from tests.service.processes import running

TASKS = 1000
SEEN_SECONDS = 2.0
START_SECONDS = 20.0
DELAY_SECONDS = 0.02


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    found = server()
    for name, value in found.variables.items():
        monkeypatch.setenv(name, value)
    yield found
    found.delay(0)


@pytest.fixture
def both(s3: S3) -> Iterator[tuple[Live, Live]]:
    """Two servers over one store, with the default time between two looks at it."""
    store = s3.prefix()
    settings = Settings(store=store, request_seconds=60.0)
    with serving(settings, {"cats": make(36)}) as here, serving(settings) as there:
        yield here, there


def version_of(live: Live) -> tuple[int, int]:
    """The version that answers, and the generation that the answer is by at least."""
    response = live.client.post("/v1/tasks/cats/predict", content=PNG)
    assert response.status_code == 200
    return response.json()["version"], int(response.headers["x-store-generation"])


def test_a_change_is_seen_by_all_within_two_seconds_and_answers_say_by_what(both: tuple[Live, Live]) -> None:
    here, there = both
    waits = []
    for version, writer in enumerate([here, there, here], 2):
        done = writer.client.put("/v1/tasks/cats", content=make(100 + version).data)
        assert (done.status_code, int(done.headers["x-store-generation"])) == (201, version)
        start = time.monotonic()
        for replica in both:
            while version_of(replica) != (version, version):
                assert time.monotonic() - start < SEEN_SECONDS, "a replica did not see the change in time"
        waits.append(time.monotonic() - start)
    assert len(waits) == 3


def test_an_upload_whose_answer_from_the_store_is_lost_is_in_force(s3: S3, both: tuple[Live, Live]) -> None:
    here, _ = both
    for number, kind in enumerate(("lose", "refuse")):
        s3.spoil(kind, 1)
        done = here.client.put("/v1/tasks/dogs", content=make(50 + number, classes=4).data)
        assert (done.status_code, done.json()["version"]) == (201, number + 1)


@pytest.mark.timeout(400)
def test_a_replica_starts_with_a_thousand_tasks_in_time(s3: S3) -> None:
    url, data = s3.prefix(), make(36).data
    s3.fill(url, many(TASKS, data))
    s3.delay(1000 * DELAY_SECONDS)  # as far away as the object store of a region
    before = sum(s3.requests().values())
    with running("service", store=url, request_seconds="50") as (process, address):
        spent = psutil.Process(process.pid).cpu_times()
        waited = (sum(s3.requests().values()) - before) * DELAY_SECONDS
        assert spent.user + spent.system + waited < START_SECONDS  # of a machine that has nothing else to do
        with httpx.Client(base_url=address, timeout=PATIENCE) as client:
            reply = client.post("/v1/tasks/task-777/predict", content=PNG)
    assert reply.json()["sha256"] == hashlib.sha256(data).hexdigest()
    assert reply.headers["x-store-generation"] == str(TASKS)

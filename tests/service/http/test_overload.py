"""While the queue is full, requests are refused before they cost anything."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.settings import Settings
from tests.service.adapters import Made
from tests.service.asking import PNG, predict, raw
from tests.service.gate import gated, until
from tests.service.live import PATIENCE, Live, serving
from tests.service.wire import ask, request

PREDICT = "/v1/tasks/cats/predict"


@pytest.fixture
def full(made: dict[str, Made], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server whose queue is full."""
    settings = Settings(
        store=str(tmp_path_factory.mktemp("full") / "store.db"),
        queue_images=1,
        images_per_request=1,
        request_seconds=PATIENCE,
        cors_origins=("https://pages.example",),
    )
    with serving(settings, {"cats": made["cats"]}) as live, gated(live) as gate, ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(predict, live, "cats", raw())]
        assert gate.reached.wait(PATIENCE)
        waiting.append(pool.submit(predict, live, "cats", raw()))
        until(lambda: live.service.batcher.queued == 1)
        yield live
        gate.open.set()
        assert [job.result().status_code for job in waiting] == [200, 200]


def test_a_prediction_is_refused_from_its_first_line(full: Live) -> None:
    never_parsed = request("POST", PREDICT, "Content-Length: 1000000", "X-Request-Id: mine", "no header at all")
    reply = ask(full, never_parsed)
    assert (reply.status, reply.code, reply.closed) == (503, "queue_full", True)
    assert (reply.headers["retry-after"], reply.headers["x-request-id"]) == ("1", "mine")
    v2 = ask(full, request("POST", "/v2/models/cats/infer", "Content-Length: 1000000"))
    assert (v2.status, v2.headers["content-type"]) == (503, "application/json")


def test_a_refusal_in_the_middle_of_a_body_does_not_reset_the_connection(full: Live) -> None:
    reply = ask(full, request("POST", PREDICT, "Content-Length: 3000000"), bytes(3_000_000))
    assert (reply.status, reply.code) == (503, "queue_full")


def test_everything_else_is_answered_as_ever(full: Live) -> None:
    for path in ("/health/live", "/health/ready", "/metrics", "/v1/tasks"):
        assert full.client.get(path).status_code == 200


def test_a_web_page_may_read_its_refusal(full: Live) -> None:
    origin = {"Origin": "https://pages.example"}
    reply = full.client.post(PREDICT, content=PNG, headers=origin)
    assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (503, origin["Origin"])

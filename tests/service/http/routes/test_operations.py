"""The routes for operators, over a real socket."""

import pytest

from tests.service.live import Live


def test_health_is_answered_without_a_task(live: Live) -> None:
    assert live.client.get("/health/live").json() == {"status": "alive"}
    assert live.client.get("/health/ready").json() == {"status": "ready"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/docs/", 404), ("GET", "/v1/tasks/", 404), ("GET", "/v1/tasks/a/b", 404),
     ("GET", "/v1/tasks/a%2fb", 404), ("POST", "/v1/tasks", 405), ("TRACE", "/v1/tasks/cats", 405),
     ("FOO", "/health/live", 405), ("PUT", "/health/live", 405), ("OPTIONS", "/nowhere", 404)],
)  # fmt: skip
def test_an_unknown_path_or_method_is_a_problem_like_any_other(live: Live, method: str, path: str, status: int) -> None:
    response = live.client.request(method, path)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")

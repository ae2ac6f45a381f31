"""Every answer has its request's id, refusals included."""

import pytest

from service.http.record import request_id
from tests.service.asking import PNG
from tests.service.live import Live
from tests.service.wire import ask, request


@pytest.mark.parametrize("path", ["/health/live", "/nowhere", "/v1/tasks/cats/predict"])
def test_the_clients_own_name_comes_back(live: Live, path: str) -> None:
    response = live.client.post(path, content=PNG, headers={"X-Request-Id": "shop-42/a"})
    assert response.headers.get_list("x-request-id") == ["shop-42/a"]


def test_a_request_without_a_name_is_given_one_of_its_own(live: Live) -> None:
    names = {live.client.get("/health/live").headers["x-request-id"] for _ in range(3)}
    assert len(names) == 3


@pytest.mark.parametrize("bad", [b"", b"a b", b"x" * 129, b'"><script>', b"\xff", b"a\x1b[2J"])
def test_a_name_that_could_do_harm_is_replaced(bad: bytes) -> None:
    assert request_id([(b"x-request-id", bad)]) != bad


def test_two_names_are_none() -> None:
    assert request_id([(b"x-request-id", b"a"), (b"x-request-id", b"b")]) not in (b"a", b"b")


def test_a_refusal_before_any_route_is_named_as_well(tight: Live) -> None:
    reply = ask(tight, request("POST", "/v1/tasks/cats/predict", "Content-Length: 9999999", "X-Request-Id: mine"))
    assert (reply.status, reply.headers["x-request-id"]) == (413, "mine")

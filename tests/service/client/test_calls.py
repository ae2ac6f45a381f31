"""From replies to answers and errors."""

import pickle
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from inspect import signature

import httpx2 as httpx
import pytest

from service import client as package
from service.client import AsyncClient, Client, Conflict, InvalidAnswer, InvalidRequest, Refused, ServerError
from service.client.calls import retry_after
from service.schemas import TaskList
from tests.service.client import scripted
from tests.service.client.scripted import TASKS, Server, Time, refusal

CLASSES = {
    400: "InvalidRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "InvalidRequest",
    408: "InvalidRequest",
    409: "Conflict",
    412: "Conflict",
    413: "InvalidRequest",
    415: "InvalidRequest",
    421: "InvalidRequest",
    422: "InvalidRequest",
    429: "TooManyRequests",
    431: "InvalidRequest",
    500: "ServerError",
    502: "ServerError",
    503: "Overloaded",
    504: "ServerDeadlineExceeded",
    507: "ServerError",
    599: "ServerError",
}


def asked(reply: httpx.Response, kind: str = "sync") -> TaskList:
    with scripted.client(kind, Server(reply), Time(), attempts=1) as client:
        return client.tasks()


@pytest.mark.parametrize("status", CLASSES)
def test_each_status_is_a_class(kind: str, status: int) -> None:
    with pytest.raises(Refused, match=f"GET /v1/tasks: {status}, some_code: why") as caught:
        asked(refusal(status), kind)
    assert type(caught.value) is getattr(package, CLASSES[status])


def test_an_error_carries_the_problem_and_the_name_of_its_request(kind: str) -> None:
    with pytest.raises(Conflict) as caught:
        asked(refusal(409, code="stale_generation"), kind)
    problem = caught.value.problem
    assert (problem.type, problem.code) == ("urn:mimi:problem:stale_generation", "stale_generation")
    assert (problem.title, problem.status, problem.detail) == ("Some code", 409, "why")
    assert (len(caught.value.request_id), caught.value.attempts) == (32, 1)
    assert pickle.loads(pickle.dumps(caught.value)).problem == problem


@pytest.mark.parametrize("body", [b"<h1>Bad gateway</h1>", b"", b"[]", b'{"title": "x"}', b"\xff"])
def test_an_error_of_something_in_front_of_the_server_is_one_too(body: bytes) -> None:
    with pytest.raises(ServerError, match="502, bad_gateway: Bad Gateway") as caught:
        asked(httpx.Response(502, content=body))
    assert caught.value.problem.type == "about:blank"


def test_a_status_without_a_name_is_an_error_all_the_same() -> None:
    with pytest.raises(InvalidRequest, match="499, error"):
        asked(httpx.Response(499))


@pytest.mark.parametrize("body", [b"", b"null", b"<html>", b'{"tasks": 3}', b"\xff\xfe"])
def test_an_answer_of_another_server_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidAnswer, match="GET /v1/tasks: this is no TaskList"):
        asked(httpx.Response(200, content=body))


@pytest.mark.parametrize("status", [202, 206, 301, 304, 307])
def test_a_status_that_this_api_does_not_know_is_refused_and_no_redirect_is_followed(status: int) -> None:
    with pytest.raises(InvalidAnswer, match=str(status)):
        asked(httpx.Response(status, headers={"Location": "http://elsewhere/"}))


def test_what_a_newer_server_adds_is_passed_over() -> None:
    assert asked(httpx.Response(200, json={**TASKS, "more": 1})).backbone == "swin"


def _entry(task: str) -> dict[str, object]:
    return {"task": task, "ready": False, "reason": "no version is live"}


def test_a_list_is_read_to_its_last_page(kind: str) -> None:
    pages = [
        {**TASKS, "tasks": [_entry(task)], "next": cursor} for task, cursor in (("a", "YQ"), ("b", "Yg"), ("c", None))
    ]
    server = Server(*(httpx.Response(200, json=page) for page in pages))
    with scripted.client(kind, server, Time()) as client:
        assert [entry.task for entry in client.tasks(prefix="p").tasks] == ["a", "b", "c"]
    assert [request.url.query for request in server.requests] == [
        b"limit=1000&prefix=p",
        b"limit=1000&prefix=p&cursor=YQ",
        b"limit=1000&prefix=p&cursor=Yg",
    ]


def test_versions_are_read_to_their_last_page(kind: str) -> None:
    entry = {"sha256": "0" * 64, "bytes": 1, "created_at": "2026-01-01T00:00:00Z", "aliases": []}
    pages = [
        {"task": "a", "generation": 1, "versions": [{**entry, "version": version}], "next": cursor}
        for version, cursor in ((2, "Mg"), (1, None))
    ]
    server = Server(*(httpx.Response(200, json=page) for page in pages))
    with scripted.client(kind, server, Time()) as client:
        assert [entry.version for entry in client.versions("a").versions] == [2, 1]
    assert [request.url.query for request in server.requests] == [b"limit=1000", b"limit=1000&cursor=Mg"]


def test_an_answer_whose_encoding_is_broken_is_refused() -> None:
    with (
        pytest.raises(InvalidAnswer, match="cannot be read"),
        scripted.client("sync", Server(_broken), Time()) as client,
    ):
        client.tasks()


def _broken(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip"))


@pytest.mark.parametrize("tag", ["", '"abc"', 'W/"5"', '"-1"'])
def test_a_change_whose_generation_is_missing_is_refused(tag: str) -> None:
    server = Server(httpx.Response(204, headers={"ETag": tag}))
    with pytest.raises(InvalidAnswer), scripted.client("sync", server, Time()) as client:
        client.delete_alias("pets", "live")


def test_a_download_that_was_damaged_is_refused() -> None:
    server = Server(httpx.Response(200, content=b"file", headers={"ETag": f'"{"0" * 64}"'}))
    with pytest.raises(InvalidAnswer, match="SHA-256"), scripted.client("sync", server, Time()) as client:
        client.download("pets", 1)


NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 12 ", 12.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        ("Sun, 01 Mar 2026 12:00:00", None),
        ("1.5", None),
        ("-1", None),
        ("²", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    headers = {"retry-after": value, "date": format_datetime(NOW, usegmt=True)}
    assert retry_after(headers) == seconds


def test_both_clients_have_the_same_methods() -> None:
    def methods(client: type) -> dict[str, str]:
        public = {name: item for name, item in vars(client).items() if not name.startswith("_") and callable(item)}
        return {name: str(signature(item)) for name, item in public.items() if name not in ("close", "aclose")}

    assert methods(Client) == methods(AsyncClient)
    assert methods(Client)["task"].endswith("-> service.descriptions.TaskDetail")
    assert Client.upload.__doc__ == AsyncClient.upload.__doc__

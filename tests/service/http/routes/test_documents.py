"""Properties of every document over a real socket: entity tags, 304, gzip, methods, and no unknown parameters."""

import gzip
from typing import Any

import pytest

from service.http.compression import takes_gzip
from tests.service.adapters import make
from tests.service.asking import PNG, put
from tests.service.live import Live

IDENTITY = {"Accept-Encoding": "identity"}
DOCUMENTS = [
    "/v1/tasks",
    "/v1/tasks?limit=1",
    "/v1/tasks/cats",
    "/v1/tasks/cats/versions",
    "/v1/tasks/cats/versions/1",
    "/v1/tasks/cats/versions/1/file",
    "/v1/tasks/cats/aliases",
    "/v1/tasks/cats/aliases/live",
    "/openapi.json",
    "/console/js/main.js",
]


@pytest.mark.parametrize("path", DOCUMENTS)
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_who_has_a_document_gets_304(live: Live, path: str, coding: str) -> None:
    accept = {"Accept-Encoding": coding}
    got = live.client.get(path, headers=accept)
    tag = got.headers["etag"]
    for value in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = live.client.get(path, headers={**accept, "If-None-Match": value})
        assert (again.status_code, again.content) == (304, b""), value
        assert again.headers["etag"] == (tag if value != "*" else again.headers["etag"])
    changed = live.client.get(path, headers={**accept, "If-None-Match": '"other"'})
    assert (changed.status_code, changed.headers["etag"], changed.content) == (200, tag, got.content)
    head = live.client.head(path, headers={**accept, "If-None-Match": tag})
    assert (head.status_code, head.headers["etag"]) == (304, tag)


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.startswith("/v1")])
def test_a_tag_that_is_none_is_refused(live: Live, path: str) -> None:
    response = live.client.get(path, headers={"If-None-Match": "17"})
    assert (response.status_code, response.json()["code"]) == (400, "malformed_header")


def test_a_document_that_changed_is_sent_again(live: Live, task: str) -> None:
    put(live, task, make(1060).data)
    paths = [f"/v1/tasks/{task}", f"/v1/tasks/{task}/versions", "/v1/tasks?prefix=task-"]
    tags = [live.client.get(path).headers["etag"] for path in paths]
    put(live, task, make(1061).data)
    for path, tag in zip(paths, tags, strict=True):
        assert live.client.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_a_task_that_this_server_stops_serving_is_another_document(live: Live, task: str) -> None:
    put(live, task, make(1062).data)
    path = f"/v1/tasks/{task}"
    tag = live.client.get(path).headers["etag"]
    live.client.post(f"/v2/repository/models/{task}/unload")
    unloaded = live.client.get(path, headers={"If-None-Match": tag})
    assert (unloaded.status_code, unloaded.json()["ready"]) == (200, False)
    assert unloaded.headers["etag"] not in (tag, '"*"')
    changed = live.client.patch(path, json={"description": "x"}, headers={"If-Match": unloaded.headers["etag"]})
    assert changed.status_code == 200  # the tag names the generation all the same


def test_the_tag_of_a_compressed_document_is_a_precondition_too(live: Live, task: str) -> None:
    put(live, task, make(1063, classes=900).data)
    got = live.client.get(f"/v1/tasks/{task}", headers={"Accept-Encoding": "gzip"})
    assert (got.headers["content-encoding"], got.headers["etag"].endswith('+gzip"')) == ("gzip", True)
    for status in (200, 412):
        change = live.client.patch(
            f"/v1/tasks/{task}", json={"description": f"{status}"}, headers={"If-Match": got.headers["etag"]}
        )
        assert change.status_code == status


@pytest.mark.parametrize("path", ["/openapi.json", "/metrics", "/console/css/base.css"])
def test_gzip_is_for_those_who_ask(live: Live, path: str) -> None:
    packed = live.client.get(path, headers={"Accept-Encoding": "gzip"})
    plain = live.client.get(path, headers=IDENTITY)
    assert (packed.headers["content-encoding"], "content-encoding" in plain.headers) == ("gzip", False)
    assert "Accept-Encoding" in packed.headers["vary"]
    assert "Accept-Encoding" in plain.headers["vary"]
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    assert path == "/metrics" or packed.content == plain.content
    assert packed.headers.get("etag", "x") != plain.headers.get("etag")


def test_predictions_small_answers_and_files_go_as_they_are(live: Live) -> None:
    asked = {"Accept-Encoding": "gzip"}
    answers = [
        live.client.post("/v1/tasks/cats/predict?output=features", content=PNG * 1, headers=asked),
        live.client.get("/health/live", headers=asked),
        live.client.get("/v1/tasks/cats/versions/1/file", headers=asked),
        live.client.get("/v1/tasks/nobody", headers=asked),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404]
    assert not any("content-encoding" in answer.headers for answer in answers)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("gzip", True), ("GZIP;q=0.5", True), ("br, gzip;q=1.0", True), ("*", True), ("x-gzip", True),
        ("gzip;q=0", False), ("gzip;q=0.000, *", False), ("*;q=0", False), ("identity", False), ("", False),
        ("gzip;q=x", False), ("gzipped", False), ("br", False),
    ],
)  # fmt: skip
def test_accept_encoding_is_read_as_the_standard_says(value: str, wanted: bool) -> None:
    assert takes_gzip([(b"accept-encoding", value.encode())]) is wanted
    assert not takes_gzip([])


def test_a_gzipped_answer_is_gzip(live: Live) -> None:
    with live.client.stream("GET", "/openapi.json", headers={"Accept-Encoding": "gzip"}) as response:
        data = b"".join(response.iter_raw())
    assert gzip.decompress(data) == live.client.get("/openapi.json", headers=IDENTITY).content


ALLOWED = {
    "/v1/tasks": "GET, HEAD, OPTIONS",
    "/v1/tasks/cats": "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
    "/v1/tasks/cats/predict": "POST, OPTIONS",
    "/v1/tasks/cats/versions/1": "GET, HEAD, DELETE, OPTIONS",
    "/v1/tasks/cats/versions/1/file": "GET, HEAD, OPTIONS",
    "/v1/tasks/cats/aliases/live": "GET, HEAD, PUT, DELETE, OPTIONS",
    "/v2/models/cats/infer": "POST, OPTIONS",
    "/v2": "GET, HEAD, OPTIONS",
    "/health/live": "GET, HEAD, OPTIONS",
    "/": "GET, HEAD, OPTIONS",
}


@pytest.mark.parametrize("path", ALLOWED)
def test_a_path_says_all_its_methods(live: Live, path: str) -> None:
    asked = live.client.options(path)
    assert (asked.status_code, asked.content, asked.headers["allow"]) == (204, b"", ALLOWED[path])
    refused = live.client.request("TRACE", path)
    assert (refused.status_code, refused.headers["allow"]) == (405, ALLOWED[path])


def test_the_server_says_all_its_methods_and_a_path_that_is_none_has_none(live: Live) -> None:
    with live.connect() as connection:
        connection.sendall(b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 204")
    assert b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" in answer
    assert live.client.options("/nowhere").status_code == 404


def test_no_route_takes_a_parameter_that_it_does_not_declare(live: Live) -> None:
    paths: dict[str, Any] = live.client.get("/openapi.json").json()["paths"]
    for path, methods in paths.items():
        for method in methods:
            where = path.replace("{task}", "cats").replace("{version}", "1").replace("{alias}", "live")
            response = live.client.request(method, f"{where}?no_such_parameter=1", content=None)
            assert response.status_code == 422, f"{method} {path}: {response.status_code}"
            assert method == "head" or "there is a parameter" in response.text
            assert "no_such" not in response.text
    assert live.client.get("/?utm_source=mail").status_code == 200  # pages are for people, and for links


def test_no_route_takes_a_parameter_twice_that_is_no_list(live: Live) -> None:
    paths: dict[str, Any] = live.client.get("/openapi.json").json()["paths"]
    seen = 0
    for path, methods in paths.items():
        where = path.replace("{task}", "cats").replace("{version}", "1").replace("{alias}", "live")
        for method, route in methods.items():
            for each in route.get("parameters", ()):
                if each["in"] == "query" and each["schema"].get("type") != "array":
                    seen += 1
                    response = live.client.request(method, f"{where}?{each['name']}=1&{each['name']}=2", content=None)
                    assert response.status_code == 422, f"{method} {path}: {response.status_code}"
                    assert method == "head" or response.json()["detail"] == "query: a parameter is given twice"
    assert seen > 10


def test_the_parameters_that_are_declared_are_taken(live: Live) -> None:
    assert live.client.get("/v1/tasks?limit=1&prefix=c").status_code == 200
    assert live.client.post("/v1/predict?tasks=cats&tasks=dogs&top_k=1", content=PNG).status_code == 200
    assert live.client.post("/v1/tasks/cats/rollback?alias=spare").status_code == 404

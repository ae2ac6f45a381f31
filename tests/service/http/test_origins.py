"""The web pages that may call the server: by the Host header, by the Origin header, and by CORS if it is on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import AccessError, ForeignOrigin
from service.http.origins import check, is_ours, name_in
from service.settings import Settings
from tests.service.adapters import Made
from tests.service.hostile import quick, refused
from tests.service.live import Live, serving
from tests.service.wire import ask, request

KEYS = {"predict_key": "p" * 16, "manage_key": "m" * 16}
LOOPBACK = Settings()
OPEN = Settings.model_validate({"host": "0.0.0.0", **KEYS})


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:8000", "localhost"),
        ("localhost.:80", "localhost"),
        ("[::1]:8000", "[::1]"),
        ("127.0.0.1:", "127.0.0.1"),
        ("", None),
        (".", None),
        (":80", None),
        ("a:b", None),
        ("a:80:90", None),
        ("user@localhost", None),
        ("local host", None),
        ("::1", None),
        ("[::1", None),
        ("localhost/x", None),
    ],
)
def test_a_host_header_has_one_name(host: str, name: str | None) -> None:
    assert name_in(host) == name


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "127.9.9.9", "[::1]:1", "LOCALHOST"])
def test_loopback_goes_by_its_own_names(host: str) -> None:
    assert is_ours(host, LOOPBACK)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0", "x"])
def test_and_by_no_other(host: str) -> None:
    assert not is_ours(host, LOOPBACK)


def test_names_may_be_added_and_beyond_loopback_any_does_until_some_are_listed() -> None:
    assert is_ours("mimi.example:443", Settings(allowed_hosts=("mimi.example",)))
    assert is_ours("anything", OPEN)
    listed = Settings.model_validate({"host": "0.0.0.0", "allowed_hosts": "mimi.example", **KEYS})
    assert [is_ours(host, listed) for host in ("mimi.example", "127.0.0.1", "evil.example")] == [True, True, False]
    assert is_ours("evil.example", Settings.model_validate({"allowed_hosts": "*", **KEYS}))


def headers(**given: str) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in given.items()]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:9000", "https://a@localhost:8000"])
def test_a_foreign_page_may_not_change_anything_where_no_key_is_needed(origin: str) -> None:
    given = headers(host="localhost:8000", origin=origin)
    with pytest.raises(ForeignOrigin):
        check("POST", "/v1/tasks/cats/rollback", given, LOOPBACK)
    check("GET", "/v1/tasks", given, LOOPBACK)
    check("POST", "/v1/tasks/cats/rollback", given, OPEN)


def test_our_own_pages_and_the_allowed_ones_may() -> None:
    check("POST", "/x", headers(host="localhost:8000", origin="http://localhost:8000"), LOOPBACK)
    allowing = Settings(cors_origins=("https://pages.example",))
    check("PUT", "/x", headers(host="localhost:8000", origin="https://pages.example"), allowing)
    check("PUT", "/x", headers(host="localhost:8000"), LOOPBACK)


@quick
@given(st.text(st.characters(max_codepoint=255)), st.text(st.characters(max_codepoint=255)))
def test_no_header_does_more_than_be_refused(host: str, origin: str) -> None:
    try:
        check("POST", "/x", headers(host=host, origin=origin), LOOPBACK)
    except AccessError:
        return
    assert name_in(host) is not None


def test_rebinding_is_refused_on_the_wire_but_for_health(live: Live) -> None:
    foreign = {"Host": "evil.example"}
    response = live.client.get("/v1/tasks", headers=foreign)
    refused(response, 421)
    assert response.json()["code"] == "misdirected_request"
    assert live.client.get("/health/live", headers=foreign).status_code == 200
    refused(live.client.post("/v1/tasks/cats/predict", content=b"x", headers={"Origin": "http://evil.example"}), 403)


@pytest.fixture(scope="module")
def sharing(made: dict[str, Made], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server that web pages of one other site may call."""
    path: Path = tmp_path_factory.mktemp("sharing") / "store.db"
    with serving(Settings(store=str(path), cors_origins=("https://pages.example",)), made) as server:
        yield server


PREFLIGHT = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "if-match, authorization"}


def test_cors_is_off_unless_set(live: Live) -> None:
    for headers in ({"Origin": "https://pages.example"}, {"Origin": "https://pages.example", **PREFLIGHT}):
        for method in ("GET", "OPTIONS"):
            found = live.client.request(method, "/v1/tasks/cats", headers=headers).headers
            assert not [name for name in found if name.startswith("access-control")]


def test_cors_answers_the_pages_that_are_named_and_no_others(sharing: Live) -> None:
    origin = {"Origin": "https://pages.example"}
    allowed = sharing.client.get("/v1/tasks/cats", headers=origin)
    assert allowed.headers["access-control-allow-origin"] == "https://pages.example"
    assert "ETag" in allowed.headers["access-control-expose-headers"]
    preflight = sharing.client.options("/v1/tasks/cats", headers={**origin, **PREFLIGHT})
    assert (preflight.status_code, "PUT" in preflight.headers["access-control-allow-methods"]) == (200, True)
    assert sharing.client.put("/v1/tasks/cats", content=b"x", headers=origin).status_code == 422
    evil = sharing.client.get("/v1/tasks/cats", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in evil.headers
    refused(sharing.client.put("/v1/tasks/cats", content=b"x", headers={"Origin": "https://evil.example"}), 403)


PAGE = "Origin: https://pages.example"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("Content-Length: 99999999999", PAGE), 413),
        (("Content-Encoding: br", PAGE), 415),
        (("Content-Length: 1", "Transfer-Encoding: chunked", PAGE), 400),
        ((*(f"X-{number}: 1" for number in range(70)), PAGE), 431),
    ],
)
def test_a_page_that_may_call_may_read_the_refusals_of_every_layer(
    sharing: Live, lines: tuple[str, ...], status: int
) -> None:
    reply = ask(sharing, request("POST", "/v1/tasks/cats/predict", *lines))
    assert (reply.status, reply.headers.get("access-control-allow-origin")) == (status, "https://pages.example")
    assert "origin" in reply.headers["vary"].lower()


def test_another_servers_name_is_refused_readably_and_to_no_other_page(sharing: Live) -> None:
    for origin, allowed in (("https://pages.example", True), ("https://evil.example", False)):
        reply = sharing.client.get("/v1/tasks", headers={"Host": "evil.example", "Origin": origin})
        assert (reply.status_code, "access-control-allow-origin" in reply.headers) == (421, allowed)


def test_pages_that_may_call_may_do_so_from_another_network(sharing: Live) -> None:
    asked = {**PREFLIGHT, "Access-Control-Request-Private-Network": "true"}
    allowed = sharing.client.options("/v1/tasks/cats", headers={**asked, "Origin": "https://pages.example"})
    assert (allowed.status_code, allowed.headers["access-control-allow-private-network"]) == (200, "true")
    assert allowed.headers.get_list("access-control-allow-origin") == ["https://pages.example"]
    evil = sharing.client.options("/v1/tasks/cats", headers={**asked, "Origin": "https://evil.example"})
    assert (evil.status_code, "access-control-allow-origin" in evil.headers) == (400, False)


@pytest.mark.parametrize("path", ["/v1/tasks", "/v1/tasks/cats?x=1", "/health/live", "/metrics"])
def test_a_target_in_absolute_form_is_one_of_ours(live: Live, path: str) -> None:
    status = live.client.get(path).status_code
    reply = ask(live, request("GET", f"http://localhost:{live.port}{path}"))
    assert (reply.status, bool(reply.body)) == (status, True)


def test_an_absolute_target_names_the_host_whatever_the_header_says(live: Live) -> None:
    assert ask(live, request("GET", "http://evil.example/v1/tasks")).status == 421
    assert ask(live, request("GET", "HTTP://localhost/v1/tasks/c%61ts")).status == 200


@pytest.mark.parametrize("path", ["/v1/tasks", "/v1/tasks/cats", "/health/ready", "/metrics", "/v2", "/openapi.json"])
def test_head_is_answered_as_get_is(live: Live, path: str) -> None:
    head, got = live.client.head(path), live.client.get(path)
    assert (head.status_code, got.status_code, head.content) == (200, 200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    if path != "/metrics":  # which counts itself
        assert head.headers["content-length"] == got.headers["content-length"]


def test_head_is_no_way_round_a_route_that_does_not_get(live: Live) -> None:
    assert live.client.head("/v1/tasks/cats/predict").status_code == 405
    assert live.client.head("/nowhere").status_code == 404

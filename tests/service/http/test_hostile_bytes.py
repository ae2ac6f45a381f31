"""Hostile bytes as bodies, names and whole requests are refused; the answers do not repeat them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.service.asking import Body, form, raw
from tests.service.hostile import quick, refused
from tests.service.live import Live, encode, picture
from tests.service.wire import read, send

pytestmark = pytest.mark.usefixtures("alive")

GOOD = encode(picture(3))
MARK = "zq7echo"
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"/v1/tasks/{MARK.upper()}/predict", raw(GOOD)),
        (f"/v1/tasks/{MARK}/predict", raw(GOOD)),
        (f"/{MARK}", raw(GOOD)),
        (f"/v1/tasks/cats/predict?{MARK}={MARK}", raw(GOOD)),
        (f"/v1/tasks/cats/predict?top_k={MARK}", raw(GOOD)),
        ("/v1/tasks/cats/predict", raw(MARK.encode())),
        ("/v1/tasks/cats/predict", form(GOOD, **{MARK: MARK})),
        ("/v1/tasks/cats/predict", form(GOOD, top_k=MARK)),
        ("/v1/tasks/cats/predict", {"json": {MARK: MARK, "images": [MARK]}}),
        ("/v1/tasks/cats/predict", {"content": f'{{"{MARK}": 1, "{MARK}": 1}}', "headers": JSON}),
        ("/v1/tasks/cats/predict", {"content": b"x", "headers": {"Content-Type": f"multipart/form-data; x={MARK}"}}),
    ],
)
def test_no_refusal_repeats_what_was_sent(live: Live, path: str, body: Body) -> None:
    response = live.client.post(path, **body)
    refused(response, 400, 404, 415, 422)
    assert MARK not in response.text.lower()
    assert MARK not in str(response.headers).lower()
    assert MARK not in live.client.get("/metrics").text.lower()


TYPES = st.sampled_from(["application/json", "multipart/form-data; boundary=x", "image/png", "multipart/form-data"])


@quick
@given(body=st.binary(max_size=300), kind=TYPES | st.text(st.characters(codec="latin-1", exclude_categories=["C"])))
def test_any_body_of_any_type_is_refused(live: Live, body: bytes, kind: str) -> None:
    headers = {"Content-Type": kind.strip().encode("latin-1")}
    refused(live.client.post("/v1/tasks/cats/predict", content=body, headers=headers), 400, 415, 422)  # type: ignore[arg-type]


GRAMMAR = st.sampled_from(
    [
        *(b"GET ", b"POST ", b"PUT ", b"/v1/tasks/cats", b"/predict", b"?top_k=1", b" HTTP/1.1\r\n"),
        *(b"Host: x\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n"),
        *(b"\r\n", b"0\r\n", b":", b"\x00", b"\xff"),
    ]
)


@quick
@given(pieces=st.lists(GRAMMAR, min_size=1, max_size=14))
def test_any_bytes_on_the_wire_end_without_a_500(tight: Live, pieces: list[bytes]) -> None:
    with tight.connect() as connection:
        send(connection, b"".join(pieces) + b"\r\n\r\n")
        assert read(connection).status < 500

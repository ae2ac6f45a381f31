"""`DirectPredictions` gives the same answers as FastAPI's route, and takes only simple requests."""

import pytest

from service.http.routes.predictions import simple_options
from service.schemas import PredictOptions
from tests.service.asking import answer, predict, raw
from tests.service.live import Live


@pytest.mark.parametrize(
    ("query", "options"),
    [
        (b"", PredictOptions()),
        (b"top_k=3", PredictOptions(top_k=3)),
        (b"output=logits&top_k=2", PredictOptions(top_k=2, output="logits")),
        (b"top%5Fk=3", PredictOptions(top_k=3)),
    ],
)
def test_a_plain_query_is_read(query: bytes, options: PredictOptions) -> None:
    assert simple_options(query) == options


@pytest.mark.parametrize(
    "query",
    [b"top_k=0", b"top_k=x", b"top_k", b"top_k=1&top_k=2", b"other=1", b"&", b"output=all", b"\xff=1", b"a" * 65],
)
def test_any_other_query_takes_the_long_way(query: bytes) -> None:
    assert simple_options(query) is None


@pytest.mark.parametrize(
    ("plain", "long"), [("", "?&"), ("?top_k=2", "?top_k=2&&&"), ("?output=logits", "?output=logits&")]
)
def test_both_ways_give_the_same(live: Live, plain: str, long: str) -> None:
    assert simple_options(plain.removeprefix("?").encode()) is not None
    assert simple_options(long.removeprefix("?").encode() + b"&" * 64) is None
    one, other = (answer(predict(live, "dogs", raw(), query)).results for query in (plain, long + "&" * 64))
    assert one == other


@pytest.mark.parametrize("task", ["Cats", "a%2e", "-", "x" * 65])
def test_a_name_that_is_none_is_refused_as_ever(live: Live, task: str) -> None:
    reply = predict(live, task, raw())
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_request")

"""An answer is condemned exactly when its version can have been live at no moment of the request."""

import pytest

from benchmarks.swaps.changes import Change
from benchmarks.swaps.clients import Log, Seen
from benchmarks.swaps.verdict import gap, latencies, may_have_answered, spans, verdict

HISTORY = [
    Change("upload", 0.0, 1.0, frozenset({1})),
    Change("alias", 10.0, 11.0, frozenset({2})),
    Change("canary", 20.0, 21.0, frozenset({1, 3})),
]
FILES = {1: "one", 2: "two", 3: "three"}


def seen(sent: float, answered: float, version: int, *, whole: bool = True) -> Seen:
    return Seen(sent, answered, version, FILES.get(version, "?"), whole)


@pytest.mark.parametrize(
    ("sent", "answered", "version", "right"),
    [
        (5.0, 6.0, 1, True),
        (5.0, 6.0, 2, False),  # not published yet
        (5.0, 10.5, 2, True),  # the change was under way
        (5.0, 9.9, 2, False),
        (10.9, 15.0, 1, True),  # perhaps accepted before the change was in force
        (11.1, 15.0, 1, False),  # sent after it had been answered
        (15.0, 19.0, 1, False),
        (15.0, 20.1, 1, True),  # live again
        (15.0, 30.0, 3, True),
        (21.1, 30.0, 2, False),
        (30.0, 31.0, 1, True),
        (30.0, 31.0, 4, False),  # there is no such version
    ],
)
def test_a_version_may_answer_from_the_sending_of_its_change_to_the_answer_of_the_next(
    sent: float, answered: float, version: int, right: bool
) -> None:
    assert may_have_answered(seen(sent, answered, version), spans(HISTORY)) == right


def test_every_kind_of_harm_is_counted() -> None:
    log = Log([seen(5, 6, 1), seen(5, 6, 2), seen(5, 6, 1, whole=False), Seen(5, 6, 1, "two", whole=True)])
    log.refused["503 not_ready"] += 2
    quiet = Log([seen(2, 3, 1)])
    found = verdict([quiet, log], HISTORY, FILES)
    assert found == {"versions_seen": 2, "refused": {"503 not_ready": 2}, "not_live": 1, "torn": 2, "harm": 5}


def test_latencies_and_gaps_are_in_milliseconds() -> None:
    answers = [seen(0.0, 0.010, 1), seen(0.0, 0.030, 1), seen(0.5, 0.520, 1)]
    assert latencies(answers)["max"] == pytest.approx(30.0)
    assert gap(answers) == pytest.approx(490.0)
    assert (latencies([]), gap([])) == ({}, 0.0)

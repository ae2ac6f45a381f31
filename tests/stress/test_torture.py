"""Attacks that the server withstands already, a short time each; and a report that claims only what a run has shown."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serving import load
from tests.attacks import images
from tests.attacks.requests import PREDICT, request
from tests.stress import attackers, torture
from tests.stress.torture import Range, cancelled, under
from tests.stress.torture_report import figures, markdown, moved, withstood
from tests.stress.traffic import Job, Log, as_json, quantiles
from tests.stress.wire import CLOSED, LOST, PREDICT_KEY, SILENT, Reply, attacked_server

pytestmark = pytest.mark.timeout(400)  # the server imports torch, which takes its time on a busy machine

SECONDS = 2.0


@pytest.fixture(scope="module")
def range_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Range]:
    """A server, and good requests."""
    folder = tmp_path_factory.mktemp("torture")
    good = request("POST", PREDICT, images.small("JPEG"), "Content-Type: image/jpeg", key=PREDICT_KEY)
    load.save([good], folder / "good.requests")
    with ExitStack() as stack:
        server = stack.enter_context(attacked_server(folder, "--request-seconds", "60"))
        yield Range(folder, folder / "good.requests", SECONDS, server, stack)


WITHSTOOD = {  # the answers that the attacker may get
    "pipelined": {"200", "unanswered"},
    "wrong_keys": {"401", "429"},
    "mixed": {"200", "400", "401", "404", "409", "413", "415", "422", "431"},
    "slow_headers": set(),
    "slow_bodies": set(),
    "false_adapters": {"422", "413"},
}


@pytest.mark.parametrize("name", WITHSTOOD)
def test_good_requests_are_answered_beside_an_attack(range_: Range, name: str) -> None:
    found = under(name, range_)
    assert found["alive"]
    assert found["recovery_s"] is not None
    assert found["good"]["statuses"].keys() == {"200"}, found["good"]
    assert found["attacker"]["statuses"].keys() <= WITHSTOOD[name]
    assert found["attacker"]["bytes_sent"] > 0 or found["attacker"]["statuses"]


def test_clients_that_give_up_harm_nobody(range_: Range) -> None:
    found = cancelled(range_, 200, 10.0)
    assert found["given_up"] > 0
    assert found["failed"] == 0
    assert found["descriptors_after"] <= found["descriptors_before"] + 2


def attacked(p99: float, *, failed: int = 0) -> dict[str, Any]:
    windows = [p99, p99, 9 * p99]  # another user of the machine disturbed the last one
    good = {
        "p99_ms": 9 * p99,
        "windows_p99_ms": windows,
        "failed": failed,
        "sent": 100,
        "statuses": {"200": 100 - failed},
    }
    server = {"before_mib": 1.0, "peak_mib": 2.0, "slowest_probe_ms": 3.0, "failed_probes": 0}
    attacker = {"statuses": {"400": 1}, "closed": 3, "longest_held_s": 11.0}
    quiet = {**good, "p99_ms": 100.0, "windows_p99_ms": [100.0] * 3, "failed": 0}
    return {
        "tries": "x",
        "quiet": quiet,
        "good": good,
        "attacker": attacker,
        "server": server,
        "alive": True,
        "recovery_s": 0.1,
    }


def run() -> dict[str, Any]:
    """A run in which everything went well."""
    corpus = {"image: x": {"status": 422, "right": True, "refused": True, "cpu_ms": 1.0, "growth_mib": 0.0}}
    return {
        "quiet": [
            {"p99_ms": 100.0, "windows_p99_ms": [100.0], "statuses": {"200": 9}},
            {"p99_ms": 100.0, "windows_p99_ms": [100.0], "statuses": {"200": 9}},
        ],
        "corpus": corpus,
        "attacks": {name: attacked(110.0) for name in ("mixed", "slow_headers", "slow_bodies")},
        "internal_errors": 0,
        "seconds_of_each": 4.0,
        "rate": 20.0,
        "machine": {"processor": "p", "cores": 2, "system": "s"},
        "load_average": [0.1, 0.1, 0.1],
        "commit": "c",
        "uncommitted_changes": False,
    }


def reached(found: dict[str, Any]) -> dict[int, bool | None]:
    return {figure.number: figure.reached for figure in figures(found)}


def test_a_promise_counts_only_where_the_run_has_shown_it() -> None:
    good = run()
    assert {number for number, value in reached(good).items() if value} == {2, 9}
    assert reached(good)[6] is None
    good["kills"] = {name: {"kills": 20, "harm": 0, "acknowledged": 9} for name in ("sqlite", "folder")}
    assert reached(good)[6] is False  # no harm, but not the size that is promised
    assert "holds, at a smaller size" in markdown(good)
    assert not any(figure.harm for figure in figures(good))


def test_a_500_a_crash_and_a_lost_version_are_harm() -> None:
    for path, value in ((("corpus", "image: x", "status"), 500), (("attacks", "mixed", "alive"), False)):
        bad = deepcopy(run())
        place: Any = bad
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        assert [figure.number for figure in figures(bad) if figure.harm] == [1]
    lost = run() | {"kills": {name: {"kills": 200, "harm": 1, "acknowledged": 9} for name in ("sqlite", "folder")}}
    assert [figure.number for figure in figures(lost) if figure.harm] == [6]


def test_a_failed_good_request_is_never_a_fast_one() -> None:
    bad = attacked(90.0, failed=1)
    assert moved(bad) is None
    assert not withstood(bad)
    assert withstood(attacked(140.0))
    assert not withstood(attacked(160.0))


def test_the_page_names_machine_commit_attacks_and_all_promises() -> None:
    page = markdown(run())
    assert "| commit | c |" in page
    assert all(f"| {number} | " in page for number in range(1, 18))
    assert page.count("| yes |") == 2 + 3


def test_traffic_tells_lost_unanswered_and_refused_connections_apart(tmp_path: Path) -> None:
    log = Log()
    for status in (200, 503, LOST, SILENT, CLOSED):
        log.add("new", Reply(status), 0.5)
    log.add("kept", Reply(200), 0.1, window=1)
    log.in_time = 1
    job = Job(1, str(tmp_path), 1.0, 2.0)
    told = log.figures(job)
    assert told["statuses"] == {"200": 2, "503": 1, "lost": 1, "unanswered": 1, "not connected": 1}
    assert (told["failed"], told["p99_ms"], told["answered_per_second"]) == (4, 500.0, 0.5)
    assert told["windows_p99_ms"] == [500.0, 100.0]
    assert quantiles([]) == {"p50_ms": None, "p99_ms": None, "max_ms": None}
    assert Job(**json.loads(as_json(job))) == job


def test_every_attacker_has_a_name_and_says_what_it_tries(capsys: pytest.CaptureFixture[str]) -> None:
    assert all(words for words, _ in attackers.ATTACKS.values())
    with pytest.raises(SystemExit):
        torture.parse(["--json", "x", "--attacks", "nothing"])
    assert "nothing" in capsys.readouterr().err

"""Rounds are interleaved and paired; a peer with other answers is never timed."""

from pathlib import Path

import pytest

from benchmarks.engine.bench import (
    PEERS,
    TUNED,
    Bench,
    Found,
    Peer,
    compare,
    interleave,
    is_equal,
    measured,
    peers,
    reason,
)
from benchmarks.measure import Estimate, Times
from tests.benchmarks.engine.conftest import Start


class Recorder:
    """Stands for a worker whose calls take as long as it says."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def time(self, call: str, *, warm: int) -> tuple[float, float]:
        self.log.append(call)
        return 1.0, float(warm)


def test_every_round_asks_everyone_and_each_begins_in_turn() -> None:
    log: list[str] = []
    systems = {name: (Recorder(log), name) for name in "abc"}
    times = interleave(systems, rounds=3, warm=2)  # type: ignore[arg-type]
    assert "".join(log) == "abcbcacab"
    assert times["b"] == Times([1.0] * 3, [2.0] * 3)


def test_a_ratio_is_ours_over_theirs_within_each_round() -> None:
    times = {"ours": Times([1.0, 2.0, 4.0, 1.0, 1.0, 1.0]), "theirs": Times([2.0, 4.0, 8.0, 2.0, 2.0, 2.0])}
    assert compare(times, "ours", "theirs") == Estimate(0.5, 0.5, 0.5)


def test_real_workers_are_timed_and_what_others_did_is_told(start: Start) -> None:
    systems = {"one": (start("right"), "features"), "other": (start("right"), "noisy")}
    times, details = measured(systems, rounds=6)
    assert {len(each.seconds) for each in times.values()} == {6}
    assert details.keys() == {"times", "processor_share_of_others"}


def test_a_wrong_peer_is_caught_and_named(start: Start) -> None:
    found, right, wrong = Found(), start("right"), start("wrong")
    reference = right.answer("features")
    assert is_equal("honest", right, {"features": (reference, right.answer("features"))}, found)
    assert not is_equal("liar", wrong, {"features": (reference, wrong.answer("features"))}, found)
    assert found.peers["honest"]["state"] == "measured"
    assert found.wrong == ["liar: liar, features computes something else: relative difference 0.2"]
    assert reason(found, "liar").endswith("difference 0.2")


def test_an_absent_peer_is_noted_in_both_settings_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "tests.benchmarks.engine.fake_systems:build"
    for kind in ("missing", "broken", "right"):
        monkeypatch.setitem(PEERS, kind, Peer(module, {"kind": kind}))
    found = Found()
    with peers(Bench(tmp_path, 6, 1, True, {}), found, ["missing", "broken", "right"], {}) as ready:
        assert list(ready) == ["right/default", "right/tuned"]
    states = {who: peer["state"] for who, peer in found.peers.items()}
    assert states == {
        "missing/default": "absent",
        "missing/tuned": "absent",
        "broken/default": "failed",
        "broken/tuned": "failed",
    }
    assert len(found.wrong) == 2  # an absence is not an error; what cannot be built is


def test_the_tuned_setting_keeps_memory_and_fuses_attention() -> None:
    assert TUNED.keys() == {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "TIMM_FUSED_ATTN"}
    assert TUNED["TIMM_FUSED_ATTN"] == "2"

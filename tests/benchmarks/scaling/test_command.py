"""The tables of the document are those that the command computes, and a busy machine is not measured."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import quiet
from benchmarks.scaling import command, measured
from benchmarks.scaling.model import Times
from benchmarks.scaling.simulation import Load

KEPT = Path(__file__).resolve().parents[3] / "docs" / "results" / "scaling-plan.json"


def test_the_kept_tables_are_what_is_computed_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_SECONDS", 5.0)
    monkeypatch.setattr(command, "_LONG", 5.0)
    assert command.main(["plan", "--json", str(tmp_path / "plan.json")]) == 0
    found, kept = json.loads(capsys.readouterr().out), json.loads(KEPT.read_text(encoding="utf-8"))
    assert found == json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert found.keys() == kept.keys()
    for name in ("memory", "store", "cost"):  # calculated
        assert found[name] == [pytest.approx(row) if name != "cost" else _near(row) for row in kept[name]]
    for short, whole in zip(found["batches"], kept["batches"], strict=True):  # simulated, here for a few seconds
        assert short["mean_ms_calculated"] == pytest.approx(whole["mean_ms_calculated"])
        assert short["mean_ms"] == pytest.approx(whole["mean_ms"], rel=0.7)


def _near(row: dict[str, object]) -> dict[str, object]:
    return {name: pytest.approx(value) if isinstance(value, dict) else value for name, value in row.items()}


def test_a_busy_machine_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1})
    monkeypatch.setattr("os.getloadavg", lambda: (99.0, 0.0, 0.0))
    with pytest.raises(quiet.LoadedError):
        command.main(["replicas", "--json", str(tmp_path / "replicas.json")])


def test_the_prediction_follows_from_the_times() -> None:
    times = Times(0.002, 0.002, 0.002)
    one, two = (measured.predicted(times, Load(10.0, clients=count * measured.CLIENTS)) for count in (1, 2))
    opened = measured.predicted(times, Load(10.0, rate=100.0))
    assert two["per_second"] / one["per_second"] == pytest.approx(2.0, rel=0.02)
    assert one["p50_ms"] > opened["p50_ms"] > 6.0
    assert [one["cpu_ms"], two["cpu_ms"]] == pytest.approx([4.125, 4.125])


def test_each_round_is_compared_with_its_own_prediction() -> None:
    def one_round(speed: float, off: float, others: float = 0.0) -> dict[str, Any]:
        real = {"one_per_second": speed, "two_per_second": 2 * speed}
        return {
            "measured": real,
            "predicted": {name: off * value for name, value in real.items()},
            "times_ms": {"image": 1.0},
            "loads": {"one": {"others": 0.0}, "two": {"others": others}},
        }

    rounds = [one_round(100.0 + 50 * number, 1.1) for number in range(6)]
    found = measured.compared(rounds)
    assert found["figures"]["one_per_second"]["off"] == pytest.approx({"median": 0.1, "low": 0.1, "high": 0.1})
    assert found["figures"]["one_per_second"]["measured"] == pytest.approx({"median": 225, "low": 100, "high": 350})
    assert found["two_against_one"]["median"] == 2.0
    assert measured.compared(rounds[:5])["two_against_one"] == {"median": 2.0}
    with_disturbed = measured.compared([*rounds, one_round(1.0, 9.0, others=0.5)])
    assert with_disturbed == {**found, "disturbed_rounds": 1}

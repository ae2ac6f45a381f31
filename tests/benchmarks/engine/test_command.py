"""The JSON always has a key for every goal, and the report shows which goals were reached."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.engine import main
from benchmarks.engine.bench import Found
from benchmarks.engine.command import parse, result_of
from benchmarks.engine.report import GOALS, draw, missed, table
from benchmarks.measure import Estimate

PROMISED = [
    "bare_vs_timm_eager",
    "bare_vs_openvino",
    "no_live_site_vs_bare",
    "mimi_276_vs_bare",
    "full_adapters_vs_bare",
    "mixed16_vs_single",
    "mixed1000_vs_mixed16",
    "bank_bytes_vs_adapter_bytes",
    "fanout8_stage4_speedup",
    "fanout_vs_flop_ideal",
    "fanout_bundled_speedup",
    "speedup_vs_peft_mixed",
    "swap_resident_p99_ms",
    "swap_store_p99_ms",
    "first_answer_s",
    "bare_bf16_vs_openvino_bf16",
    "bf16_vs_fp32",
    "int8_vs_bf16",
    "int8_worst_loss",
    "mixed16_bf16_vs_single",
    "batch1_vs_openvino",
    "cuda_bare_vs_compiled",
    "cuda_mixed16_vs_compiled",
    "cuda_batch1_p50_ms",
    "cuda_batch1_p99_ms",
]


def figures_of(**medians: float) -> dict[str, object]:
    """The JSON of a run that measured these and nothing else."""
    found = Found({key: Estimate(value, value * 0.9, value * 1.1) for key, value in medians.items()})
    return result_of(parse(["--json", "x", "--quick"]), found)


def test_every_promised_key_is_there_and_is_a_number_or_has_a_reason() -> None:
    result = figures_of(bare_vs_openvino=0.9)
    assert set(PROMISED) <= {goal.key for goal in GOALS}
    for key in PROMISED:
        assert (key in result["reasons"]) == (result[key] is None)  # type: ignore[operator]
    assert result["bare_vs_openvino"] == 0.9
    assert {"machine", "versions", "commit", "load_average", "intervals", "details", "peers"} <= result.keys()


def test_figures_are_held_against_their_goals_in_the_right_direction() -> None:
    result = figures_of(bare_vs_openvino=1.1, fanout8_stage4_speedup=3.0, speedup_vs_peft_mixed=2.5)
    assert missed(result) == {
        "bare_vs_openvino": pytest.approx(0.1),
        "fanout8_stage4_speedup": pytest.approx(0.1 / 1.1),
    }


def test_the_table_tells_goal_measured_and_by_how_much_it_was_missed() -> None:
    text = table(figures_of(bare_vs_openvino=1.1, first_answer_s=4.0))
    assert "≤ 1 × | 1.100 (0.990 … 1.210) × | no, by 10.0% |" in text
    assert "≤ 8 s | 4.000 (3.600 … 4.400) s | yes |" in text
    assert text.count("not measured") == len(GOALS) - 2
    assert "claim nothing" in text


def test_a_figure_is_drawn_for_each_claim_that_was_measured(tmp_path: Path) -> None:
    result = figures_of(bare_vs_openvino=1.1, first_answer_s=4.0)
    result["details"] = {"bare": {"times": {"ours/default": {"median": 1.0}, "openvino/default": {"median": 2.0}}}}
    drawn = draw(result, tmp_path)
    assert [path.name for path in drawn] == ["bare_vs_openvino.svg", "first_answer_s.svg"]
    assert "openvino/default" in drawn[0].read_text(encoding="utf-8")
    assert all(ElementTree.parse(path).getroot().tag.endswith("svg") for path in drawn)


def test_without_a_device_the_cuda_figures_are_null_with_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    assert main(["--json", str(out), "--quick", "--force", "--only", "cuda"]) == 0
    result = json.loads(out.read_text(encoding="utf-8"))
    assert result["cuda_batch1_p50_ms"] is None
    assert "CUDA" in result["reasons"]["cuda_batch1_p50_ms"]
    assert "--only" in result["reasons"]["first_answer_s"]
    capsys.readouterr()
    assert main(["--report", str(out)]) == 0
    assert "| first_answer_s" not in capsys.readouterr().out  # the table speaks in words


@pytest.mark.parametrize("wrong", [["--rounds", "14"], ["--peer-python", "peft=/nothing"], ["--only", "nothing"]])
def test_what_would_mislead_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--json", "x.json", *wrong])
    assert wrong[0] in capsys.readouterr().err

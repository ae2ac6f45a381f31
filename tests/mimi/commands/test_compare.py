"""`mimi compare` and `mimi report`: from one file to rows, and from rows to tables and figures."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from mimi.cli import main
from tests.training.data.trees import write_folder

CONFIG = """
cycles = 2
seeds = [0]
rates = [1e-3]
validation = 0.25
runs = "{0}/runs.jsonl"
work = "{0}/work"
[data.pets]
epochs = 1
batch_size = 4
[methods]
linear-probe = {{}}
mimi = {{}}
lora = {{}}
"""


def config(folder: Path) -> str:
    path = folder / "compare.toml"
    path.write_text(CONFIG.format(folder))
    return str(path)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a small comparison was made."""
    folder = tmp_path_factory.mktemp("compared")
    write_folder(folder / "pets", {"ant": 8, "cat": 8})
    assert main(["compare", config(folder), "--data", str(folder), "--device", "cpu"]) == 0
    return folder


def test_every_method_has_its_rows(compared: Path) -> None:
    rows = [json.loads(line) for line in (compared / "runs.jsonl").read_text().splitlines()]
    assert [(row["method"], row["epochs"]) for row in rows] == [
        ("linear-probe", 0), ("mimi", 1), ("mimi", 2), ("lora", 1), ("lora", 2),
    ]  # fmt: skip
    assert all(row["gflops"] > row["gflops_paper"] > 0 for row in rows)
    assert rows[0]["backbone"].startswith("swin")
    assert {row["dataset"] for row in rows} == {"pets"}
    assert str(compared) not in (compared / "runs.jsonl").read_text()


def test_what_is_done_is_not_done_again(compared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (compared / "runs.jsonl").read_bytes()
    assert main(["compare", config(compared), "--data", str(compared), "--device", "cpu"]) == 0
    assert (compared / "runs.jsonl").read_bytes() == before
    assert main(["compare", config(compared), "--dry-run"]) == 0
    assert "0 of 3 to do" in capsys.readouterr().out


def test_a_dry_run_says_what_is_to_do_and_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", config(tmp_path), "--dry-run", "--only", "lora"]) == 0
    out = capsys.readouterr().out
    assert "1 of 1 to do" in out
    assert "mimi" not in out
    assert [path.name for path in tmp_path.iterdir()] == ["compare.toml"]


def test_a_wrong_file_or_method_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(tmp_path / "none.toml")]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path}/none.toml: No such file or directory\n"
    assert main(["compare", config(tmp_path), "--only", "x"]) == 1
    assert capsys.readouterr().err == "error: the configuration has no method x\n"


def test_a_training_that_diverges_ends_with_1(tmp_path: Path) -> None:
    write_folder(tmp_path / "pets", {"ant": 8, "cat": 8})
    path = Path(config(tmp_path))
    path.write_text(path.read_text().replace("lora = {}", "lora = { rates = [1e30], clip = 1e30 }"))
    assert main(["compare", str(path), "--data", str(tmp_path), "--only", "lora", "--device", "cpu"]) == 1
    assert not (tmp_path / "runs.jsonl").exists()


def test_a_report_is_written_where_it_is_asked_for(compared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = compared / "out"
    arguments = ["report", str(compared / "runs.jsonl"), "--out", str(out), "--work", str(compared / "work")]
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"{out}/report.html and 12 files beside it\n"
    assert "progress" in "".join(path.name for path in out.iterdir())


def test_task_adapters_are_reported_on_beside_rows(compared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, adapter = compared / "both", Path(str(files("adapters_store"))) / "bundled" / "gtsrb.safetensors"
    assert main(["report", str(adapter), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}/allocation.svg and 1 files beside it\n"
    assert main(["report", str(adapter), str(compared / "runs.jsonl"), "--out", str(out)]) == 0
    assert {"report.html", "allocation.png"} <= {path.name for path in out.iterdir()}


def test_rows_that_are_not_there_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path}/none: no such file\n"

"""`python -m training` where neither a web stack nor the command line's packages are installed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from adapters_store import unpack
from mimi.cli import main as mimi
from tests.training.data.trees import write_folder
from training.__main__ import main, parser
from training.fields import plain_fields
from training.options import CompareRequest, FitOptions, MiMiOptions, PruningOptions, TrainRequest

ABSENT = (  # timm itself brings an HTTP client and click
    "typer", "rich", "fastapi", "starlette", "pydantic", "pydantic_settings", "uvicorn", "prometheus_client",
    "multipart",
)  # fmt: skip
BARE = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({ABSENT}))  # None: an import of it fails
runpy.run_module("training", run_name="__main__", alter_sys=True)
"""
QUICK = ["--epochs", "1", "--warmup-epochs", "0", "--batch-size", "4", "--target-sigma", "64", "--learning-rates="]


def bare(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BARE, *words], capture_output=True, text=True, check=False)


def test_a_training_runs_there_and_makes_the_file_that_mimi_makes(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "images", {"ant": 4, "cat": 4})
    out = tmp_path / "bare.safetensors"
    words = ["train", str(data), *QUICK, "--device", "cpu"]
    done = bare(*words, "--folder", str(tmp_path / "bare"), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert f"task adapter: {out}" in done.stdout
    assert mimi([*words, "--folder", str(tmp_path / "mimi"), "--out", str(tmp_path / "mimi.safetensors")]) == 0
    ours, theirs = (unpack(path.read_bytes()).manifest for path in (out, tmp_path / "mimi.safetensors"))
    assert (ours.widths, ours.provenance.epochs) == (theirs.widths, theirs.provenance.epochs)


def test_what_is_wrong_is_one_line_there_too(tmp_path: Path) -> None:
    done = bare("train", str(tmp_path / "none"), "--folder", str(tmp_path / "run"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: ")


def test_a_comparison_lists_its_cells_there(tmp_path: Path) -> None:
    file = tmp_path / "compare.toml"
    file.write_text(f"""
cycles = 2
seeds = [0]
rates = [1e-3]
runs = "{tmp_path}/runs.jsonl"
work = "{tmp_path}/work"
[data.pets]
epochs = 1
[methods]
linear-probe = {{}}
mimi = {{}}
""")
    done = bare("compare", str(file), "--dry-run", "--only", "mimi")
    assert done.returncode == 0, done.stderr
    (row,) = map(json.loads, done.stdout.splitlines())
    assert (row["method"], row["done"]) == ("mimi", False)


@pytest.mark.parametrize(
    ("command", "records"),
    [("train", (TrainRequest, MiMiOptions, PruningOptions, FitOptions)), ("compare", (CompareRequest,))],
)
def test_every_option_of_mimi_is_there(
    command: str, records: tuple[type, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    ours = capsys.readouterr().out
    assert mimi([command, "--help"]) == 0
    theirs = capsys.readouterr().out
    for record in records:
        for field in plain_fields(record):
            flag = "--" + field.name.replace("_", "-")
            assert flag in ours
            assert flag in theirs


def test_values_are_read_as_mimi_reads_them() -> None:
    words = ["train", "x", "--learning-rates", "1,0.5", "--reference-batch", "none", "--no-flip", "--criterion", "snip"]
    read = parser().parse_args(words)
    assert (read.learning_rates, read.reference_batch, read.flip) == ((1.0, 0.5), None, False)
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(["train", "x", "--criterion", "none-such"])

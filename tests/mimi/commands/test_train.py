"""`mimi train`: choices, refusals, and a file at the end."""

from dataclasses import replace
from pathlib import Path

import pytest

from adapters_store import unpack
from mimi.cli import _parser, main
from mimi.commands.train import _reporter, choose
from mimi.errors import BadOption
from mimi.presets import PAPER, SHORT
from tests.mimi.conftest import QUICK
from tests.training.data.trees import write_folder
from training.options import MiMiOptions
from training.parallel import World
from training.progress import Silent


def chosen(*arguments: str) -> MiMiOptions:
    return choose(_parser().parse_args(["train", "digits", *arguments]))


def test_a_run_ends_in_a_task_adapter(trained: Path) -> None:
    adapter = unpack(trained.read_bytes())
    made = adapter.manifest.provenance
    assert adapter.manifest.labels == ("ant", "cat")
    assert (made.cycles, made.epochs, made.target_compression) == (2, 2, 64.0)
    assert sum(adapter.manifest.widths) == sum(made.initial_widths) // 2


def test_short_runs_search_their_rate() -> None:
    assert chosen() == SHORT
    assert len(SHORT.learning_rates) > 1


def test_the_paper_s_defaults_are_a_preset() -> None:
    assert chosen("--preset", "paper") == PAPER == MiMiOptions()


def test_what_is_given_stands_above_the_preset() -> None:
    expected = replace(SHORT, seed=3, fit=replace(SHORT.fit, epochs=2, flip=False))
    assert chosen("--seed", "3", "--epochs", "2", "--no-flip") == expected


def test_a_rate_that_is_given_is_not_searched_for() -> None:
    assert chosen("--learning-rate", "1e-3").learning_rates == ()
    assert chosen("--learning-rate", "1e-3", "--learning-rates", "1", "2").learning_rates == (1.0, 2.0)


@pytest.mark.parametrize(
    "arguments", [("--epochs", "0"), ("--epochs", "2", "--warmup-epochs", "2"), ("--target-sigma", "1")]
)
def test_values_that_cannot_train_are_refused_by_name(arguments: tuple[str, ...]) -> None:
    with pytest.raises(BadOption, match=arguments[-2].strip("-").replace("-", "_")):
        chosen(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--clip", "-1"),
        ("--weight-decay", "-1"),
        ("--rotate", "nan"),
        ("--seed", "-1"),
        ("--shift", "-3"),
        ("--learning-rate", "inf"),
        ("--initial-sigma", "nan"),
    ],
)
def test_numbers_that_make_no_sense_are_refused_by_name(arguments: tuple[str, str]) -> None:
    with pytest.raises(BadOption, match=arguments[0].strip("-").replace("-", "_")):
        chosen(*arguments)


@pytest.mark.parametrize("device", ["mps", "gpu", "cuda:x", "cuda:", "cuda:99", "cpu:0"])
def test_a_device_that_is_not_there_is_one_line_before_anything_is_read(
    device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "no-such-folder", "--device", device]) == 1
    assert capsys.readouterr().err.startswith("error: --device")


def test_bad_data_is_one_line_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_folder(tmp_path / "images", {"ant": 2, "cat": 2})
    (root / "cat" / "1.png").write_bytes(b"broken")
    assert main(["train", str(root), "--folder", str(tmp_path / "run")]) == 1
    assert capsys.readouterr().err.startswith(f"error: {root}/cat/1.png: ")
    assert not (tmp_path / "run").exists()


def test_a_run_has_a_page_and_the_progress_it_was_drawn_from(trained: Path) -> None:
    folder = trained.parent / "run"
    assert "<svg" in (folder / "report.html").read_text()
    assert len((folder / "progress.jsonl").read_text().splitlines()) == 2


def test_tensorboard_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "images", {"ant": 4, "cat": 4})
    arguments = ["train", str(data), "--folder", str(tmp_path / "run"), "--tensorboard", str(tmp_path / "board")]
    assert main([*arguments, *QUICK]) == 0
    assert list((tmp_path / "board").rglob("events.out.tfevents.*"))


def test_of_several_processes_only_the_first_tells(tmp_path: Path) -> None:
    options = _parser().parse_args(["train", "digits", "--tensorboard", str(tmp_path)])
    with _reporter(options, tmp_path, World(1, 2)) as reporter:
        assert isinstance(reporter, Silent)

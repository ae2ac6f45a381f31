"""`mimi train`: choices, refusals, and a file at the end."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import training.command
from adapters_store import unpack
from mimi.cli import main
from tests.mimi.conftest import QUICK
from tests.training.data.trees import write_folder
from training.command import reporter_of
from training.options import MiMiOptions, TrainRequest
from training.parallel import World
from training.presets import PAPER, SHORT
from training.progress import Silent


class Chosen(Exception):
    """Carries what a command line came to."""


def chosen(*arguments: str) -> MiMiOptions:
    """The options that `mimi train` would use; nothing is trained."""

    def stop(_data: str, _request: TrainRequest, options: MiMiOptions, **_rest: object) -> None:
        raise Chosen(options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.command, "train", stop)
        with pytest.raises(Chosen) as caught:
            main(["train", "digits", *arguments])
    found: MiMiOptions = caught.value.args[0]
    return found


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["train", "digits", *arguments]) == 1
    return capsys.readouterr().err


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
    found = chosen("--preset", "paper")
    assert found == PAPER
    fit = found.fit
    assert (fit.epochs, fit.warmup_epochs, fit.batch_size, fit.learning_rate) == (100, 20, 512, 5e-4)
    assert (fit.resized_crop, fit.randaugment, fit.erasing) == (0.08, "rand-m9-mstd0.5-inc1", 0.25)
    assert (fit.mixup, fit.cutmix, fit.label_smoothing, fit.drop_path) == (0.8, 1.0, 0.1, 0.2)
    assert (found.initial_sigma, found.target_sigma, found.size_tolerance) == (32, 512, 1)


def test_what_is_given_stands_above_the_preset() -> None:
    expected = replace(SHORT, seed=3, fit=replace(SHORT.fit, epochs=2, flip=False))
    assert chosen("--seed", "3", "--epochs", "2", "--no-flip") == expected


def test_a_rate_that_is_given_is_not_searched_for() -> None:
    assert chosen("--learning-rate", "1e-3").learning_rates == ()
    assert chosen("--learning-rate", "1e-3", "--learning-rates", "1,2").learning_rates == (1.0, 2.0)


@pytest.mark.parametrize(
    "arguments", [("--epochs", "0"), ("--epochs", "2", "--warmup-epochs", "2"), ("--target-sigma", "1")]
)
def test_values_that_cannot_train_are_refused_by_name(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert arguments[-2].strip("-").replace("-", "_") in refusal(capsys, *arguments)


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
def test_numbers_that_make_no_sense_are_refused_by_name(
    arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert arguments[0].strip("-").replace("-", "_") in refusal(capsys, *arguments)


@pytest.mark.parametrize("device", ["mps", "gpu", "cuda:x", "cuda:", "cuda:99", "cpu:0"])
def test_a_device_that_is_not_there_is_one_line_before_anything_is_read(
    device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "no-such-folder", "--device", device]) == 1
    assert capsys.readouterr().err.startswith("error: --device")


@pytest.mark.parametrize(
    ("preset", "epochs", "warmup"), [("short", 1, 0.125), ("short", 2, 1), ("short", 20, 1), ("paper", 10, 2)]
)
def test_few_epochs_warm_up_as_large_a_share_of_them(preset: str, epochs: int, warmup: float) -> None:
    fit = chosen("--preset", preset, "--epochs", str(epochs)).fit
    assert (fit.epochs, fit.warmup_epochs) == (epochs, warmup)


def test_help_shows_the_defaults_that_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert re.search(r"--epochs NUMBER .{0,200}\[8\]", text)
    assert re.search(r"--batch-size NUMBER .{0,200}\[64\]", text)
    assert re.search(r"--target-sigma NUMBER .{0,200}\[256\]", text)


def test_a_run_inside_its_data_set_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder of the run would be a class of the next one."""
    monkeypatch.chdir(write_folder(tmp_path / "pets", {"ant": 2, "cat": 2}))
    assert main(["train", ".", *QUICK]) == 1
    assert "runs/pets is inside the data set" in capsys.readouterr().err
    assert not (tmp_path / "pets" / "runs").exists()


@pytest.mark.parametrize("option", ["--folder", "--tensorboard", "--out"])
def test_a_file_in_the_place_of_a_folder_is_one_line_before_anything_is_read(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "x" if option == "--out" else tmp_path / "file"
    assert main(["train", "no-such-folder", "--folder", str(tmp_path / "run"), option, str(place)]) == 1
    assert "file is not a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{}\nhalf a li", ", line 2: no JSON"), (b"{}\n", ", row 1: no cycle, epoch"), (b"\xff\xfe", ": not text")],
)
def test_a_damaged_progress_file_is_one_line_before_anything_is_read(
    content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "progress.jsonl").write_bytes(content)
    assert main(["train", "no-such-folder", "--folder", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/progress.jsonl{message}")


def test_results_stand_beside_the_linear_probe_and_the_task_has_the_data_set_s_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_folder(tmp_path / "My Pets", {"ant": 4, "cat": 4})
    assert main(["train", str(data), "--folder", str(tmp_path / "run"), *QUICK]) == 0
    out = capsys.readouterr().out
    assert re.search(r"linear probe: validation [01]\.\d{4}", out)
    assert f"mimi publish {tmp_path}/run/adapter.safetensors --task my-pets\n" in out


def test_an_interrupt_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(job: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("training.mimi.train_mimi", interrupted)
    data = write_folder(tmp_path / "images", {"ant": 2, "cat": 2})
    assert main(["train", str(data), "--folder", str(tmp_path / "run")]) == 130
    assert "the same command continues this run" in capsys.readouterr().err


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
    with reporter_of(tmp_path, World(1, 2), board=tmp_path) as reporter:
        assert isinstance(reporter, Silent)

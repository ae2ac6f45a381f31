"""Algorithm 1 end to end on a tiny network: what it writes, that it repeats, and that it survives being killed."""

import errno
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from adapters_store import ArtifactError, unpack
from backbone.fingerprint import fingerprint_of
from tests.training.small import small_backbone, small_options, small_prepared
from training.errors import CheckpointMismatch, Diverged, FolderInUse, UnwritableFile
from training.export import Origin, from_file, golden_outputs, to_file
from training.files import locked, write_atomic
from training.fit import Progress, evaluate
from training.mimi import Job, Outcome, exported_size, fit_cycle, train_mimi
from training.model import AdaptedModel
from training.options import PruningOptions
from training.pixels import PixelSet
from training.progress import Position, Silent
from training.run import Run


def run(folder: Path, **changes: object) -> Outcome:
    return train_mimi(Job(small_prepared(), small_backbone(), small_options(**changes), folder))


def test_each_cycle_halves_the_neurons_and_the_last_file_is_the_smallest(tmp_path: Path) -> None:
    outcome = run(tmp_path)
    assert [report.neurons for report in outcome.results] == [24, 12, 6]
    adapter = unpack(outcome.adapter)
    assert adapter.manifest.widths == outcome.results[-1].widths
    assert adapter.manifest.provenance.metrics["test_top1"] == outcome.results[-1].test
    assert outcome.adapter == (tmp_path / "adapter.safetensors").read_bytes()


def test_removed_sites_are_not_in_the_file(tmp_path: Path) -> None:
    adapter = unpack(run(tmp_path, target_sigma=256.0).adapter)
    assert set(adapter.sites) == {site for site, width in enumerate(adapter.manifest.widths) if width}
    assert len(adapter.sites) < len(adapter.manifest.widths)


def test_it_learns_what_is_easy(tmp_path: Path) -> None:
    fit = replace(small_options().fit, epochs=6)
    assert (run(tmp_path, fit=fit).results[-1].test or 0) > 0.9


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first, again = run(tmp_path / "a"), run(tmp_path / "b")
    assert first.adapter == again.adapter
    assert run(tmp_path / "c", seed=1).adapter != first.adapter


def test_golden_logits_are_those_of_the_written_file(tmp_path: Path) -> None:
    adapter = unpack(run(tmp_path).adapter)
    assert np.array_equal(golden_outputs(small_backbone(), adapter).logits, adapter.golden_logits)


def test_test_accuracy_is_that_of_the_written_file(tmp_path: Path) -> None:
    outcome = run(tmp_path)
    test = small_prepared().test
    assert test is not None
    assert evaluate(from_file(outcome.adapter, small_backbone()), test) == outcome.results[-1].test


GRADIENT = {"pruning": PruningOptions(criterion="gradient", scope="site")}


class Stop(Exception):
    """Raised to end a run where a test wants it ended."""


class StopAt(Silent):
    """A reporter that ends the run after a number of epochs."""

    def __init__(self, epochs: int) -> None:
        self.left = epochs

    def epoch(self, place: Position, progress: Progress, validation: float | None) -> None:
        self.left -= 1
        if self.left == 0:
            raise Stop


@pytest.mark.parametrize(
    "changes", [{}, {"optimizer": "rebuild"}, {"select": "best"}, {"prune_last": True}, {"precision": "bf16"}, GRADIENT]
)
@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path: Path, changes: dict[str, object], epochs: int) -> None:
    whole = run(tmp_path / "whole", **changes)
    job = Job(small_prepared(), small_backbone(), small_options(**changes), tmp_path / "stopped", StopAt(epochs))
    with pytest.raises(Stop):
        train_mimi(job)
    assert run(tmp_path / "stopped", **changes).adapter == whole.adapter


KILLED = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.training.killing import Kill
from tests.training.small import small_backbone, small_options, small_prepared
from training.mimi import Job, train_mimi
train_mimi(Job(small_prepared(), small_backbone(), small_options(), Path(sys.argv[1]), Kill(int(sys.argv[2]))))
"""


@pytest.mark.parametrize("step", [2, 8])
def test_a_killed_process_resumes_to_the_same_bytes(tmp_path: Path, step: int) -> None:
    whole = run(tmp_path / "whole")
    root = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "killed"), str(step)], cwd=root, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert run(tmp_path / "killed").adapter == whole.adapter


def test_all_images_may_be_trained_on_and_then_nothing_is_chosen(tmp_path: Path) -> None:
    prepared = small_prepared()
    nothing = PixelSet(prepared.train.pixels[:0], prepared.train.targets[:0])
    job = Job(replace(prepared, validation=nothing), small_backbone(), small_options(validation=0.0), tmp_path)
    outcome = train_mimi(job)
    assert outcome.exported == 2
    assert "validation_top1" not in unpack(outcome.adapter).manifest.provenance.metrics
    assert all(result.test is not None for result in outcome.results)
    for changes in ({"learning_rates": (1e-3, 2e-3)}, {"select": "best"}):
        with pytest.raises(ValueError, match="validation must be above 0"):
            small_options(validation=0.0, **changes)


def test_a_folder_of_another_run_is_refused_by_what_differs(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(CheckpointMismatch, match="options"):
        run(tmp_path, seed=5)


def test_data_with_corrected_labels_is_other_data(tmp_path: Path) -> None:
    """As many images of each class as before: only the content of the data differs."""
    run(tmp_path)
    prepared = small_prepared()
    targets = prepared.train.targets.clone()
    targets[[0, 1]] = targets[[1, 0]]
    corrected = replace(prepared, train=PixelSet(prepared.train.pixels, targets))
    with pytest.raises(CheckpointMismatch, match="other data"):
        train_mimi(Job(corrected, small_backbone(), small_options(), tmp_path))


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    with locked(tmp_path / ".lock", patient=False), pytest.raises(FolderInUse, match="another process trains"):
        run(tmp_path)
    run(tmp_path)


def test_a_rate_that_diverges_loses_the_search(tmp_path: Path) -> None:
    fit = replace(small_options().fit, clip=1e30)
    outcome = run(tmp_path, fit=fit, learning_rates=(1e30, 5e-3))
    assert outcome.options.fit.learning_rate == 5e-3
    assert run(tmp_path, fit=fit, learning_rates=(1e30, 5e-3)).adapter == outcome.adapter


def test_a_search_in_which_every_rate_diverges_says_so(tmp_path: Path) -> None:
    fit = replace(small_options().fit, clip=1e30)
    with pytest.raises(Diverged, match=r"at any learning rate of 1e\+30, 2e\+30"):
        run(tmp_path, fit=fit, learning_rates=(1e30, 2e30))


def test_weights_beyond_float16_are_a_divergence(tmp_path: Path) -> None:
    model = AdaptedModel(small_backbone(), (1, 0, 0, 0), 3)
    model.head.bias.data += 1e6
    origin = Origin("mimi", small_options(), 1, 1, (1, 0, 0, 0), {})
    with pytest.raises(Diverged, match="float16"):
        to_file(model, small_prepared(), origin, small_backbone())


def test_the_search_for_a_rate_leaves_the_task_adapter_in_the_run_s_folder(tmp_path: Path) -> None:
    outcome = run(tmp_path, learning_rates=(1e-3, 5e-3))
    assert (tmp_path / "adapter.safetensors").read_bytes() == outcome.adapter


def test_a_full_disk_is_one_error_and_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("training.files.os.fsync", full)
    with pytest.raises(UnwritableFile, match=r"file: No space left"):
        write_atomic(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("validation", "tolerance", "exported"),
    [
        ([0.567, 0.55, 0.483], 0.02, 1),
        ([0.567, 0.55, 0.483], 0.0, 0),
        ([0.567, 0.55, 0.483], 1.0, 2),
        ([0.5, 0.6, 0.58], 0.02, 2),
        ([0.7], 0.02, 0),
    ],
)
def test_the_smallest_size_within_the_tolerance_of_the_best_is_exported(
    validation: list[float], tolerance: float, exported: int
) -> None:
    assert exported_size(validation, tolerance) == exported


def test_a_larger_size_than_the_last_is_exported_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.mimi.exported_size", lambda validation, tolerance: 1)
    said: list[str] = []
    outcome = train_mimi(Job(small_prepared(), small_backbone(), small_options(), tmp_path, Notes(said.append)))
    assert unpack(outcome.adapter).manifest.widths == outcome.results[1].widths
    assert any(text.startswith("warning: 6 neurons validate at") and "12 neurons" in text for text in said)


@pytest.mark.parametrize("labels", [("red", "red", "blue"), ("", "green", "blue"), ("r" * 300, "green", "blue")])
def test_labels_that_no_file_can_hold_are_refused_before_training(tmp_path: Path, labels: tuple[str, ...]) -> None:
    prepared = replace(small_prepared(), labels=labels)
    with pytest.raises(ArtifactError):
        train_mimi(Job(prepared, small_backbone(), small_options(), tmp_path))
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_precision_outlives_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that lowers by default stands in for CUDA."""
    monkeypatch.setattr("training.frozen.lowers", lambda device, precision: precision != "fp32")
    options = small_options(precision="fp32")
    first = Run.begin(small_prepared(), small_backbone(), options, tmp_path)
    fit_cycle(first, Silent())
    again = Run.begin(small_prepared(), small_backbone(), options, tmp_path)
    assert (again.epoch, again.model.precision, again.model.frozen.lowers) == (2, "fp32", False)


def test_test_accuracy_is_measured_in_the_run_s_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []

    def recorded(model: AdaptedModel, images: PixelSet) -> float:
        found.append(model.precision)
        return evaluate(model, images)

    monkeypatch.setattr("training.mimi.evaluate", recorded)
    run(tmp_path, precision="fp32")
    assert set(found) == {"fp32"}


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(CheckpointMismatch, match="cannot be read"):
        run(tmp_path)


def test_a_loss_that_is_not_a_number_stops_the_run_and_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    prepared, backbone = small_prepared(), small_backbone()
    fit = replace(small_options().fit, learning_rate=1e30, clip=1e30)
    with pytest.raises(Diverged, match="smaller learning rate"):
        train_mimi(Job(prepared, backbone, small_options(fit=fit), tmp_path))


def test_the_rate_that_is_best_on_validation_goes_on(tmp_path: Path) -> None:
    fit = replace(small_options().fit, epochs=6)
    outcome = run(tmp_path, fit=fit, learning_rates=(1e-7, 5e-3))
    assert outcome.options.fit.learning_rate == 5e-3
    assert unpack(outcome.adapter).manifest.provenance.metrics["learning_rate"] == 5e-3
    assert not (tmp_path / "rate-1e-07" / "size-1.safetensors").exists()


class Notes(Silent):
    """A reporter that keeps what it is told."""

    def __init__(self, keep: Callable[[str], None]) -> None:
        self.keep = keep

    def say(self, text: str) -> None:
        self.keep(text)


def test_pruning_by_the_initialisation_is_warned_of(tmp_path: Path) -> None:
    said: list[str] = []
    fit = replace(small_options().fit, learning_rate=1e-7)
    train_mimi(Job(small_prepared(), small_backbone(), small_options(fit=fit), tmp_path, Notes(said.append)))
    assert sum("mostly noise" in text for text in said) == 3


def test_pruned_once_more_without_training_as_the_released_code_does(tmp_path: Path) -> None:
    outcome = run(tmp_path, prune_last=True)
    assert [report.neurons for report in outcome.results] == [24, 12, 6, 3]


def test_stochastic_depth_changes_training_but_not_evaluation(tmp_path: Path) -> None:
    fit = replace(small_options().fit, drop_path=0.3)
    dropped = run(tmp_path / "a", fit=fit)
    assert dropped.adapter == run(tmp_path / "b", fit=fit).adapter
    assert dropped.adapter != run(tmp_path / "c").adapter


def test_training_leaves_the_backbone_as_it_was(tmp_path: Path) -> None:
    backbone = small_backbone()
    before = torch.get_rng_state()
    train_mimi(Job(small_prepared(), backbone, small_options(), tmp_path))
    assert fingerprint_of(backbone) == backbone.fingerprint
    assert torch.equal(torch.get_rng_state(), before)

"""The student learns the teacher's targets, and a killed run gives the result of an uninterrupted one."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, save

from backbone import SHIPPED, load_backbone
from tests.training.pretraining import killed
from tests.training.pretraining.small import OPTIONS, begin, rows_of, targets
from training.checkpoint import load_checkpoint, under
from training.errors import CheckpointMismatch, Diverged
from training.pretraining.distill.options import DistillOptions
from training.pretraining.distill.recipe import Distilling, Pass, Scale, Student, losses, mirror, new_student
from training.pretraining.distill.run import distil, weights_of
from training.pretraining.distill.store import Targets


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "targets"


@pytest.fixture
def shown(store: Path) -> Targets:
    return targets(store)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the command sets it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def silent(text: str) -> None:
    pass


def test_the_loss_goes_down(tmp_path: Path, store: Path, shown: Targets) -> None:
    options = replace(OPTIONS, steps=60)
    state = begin(shown, options)
    first = state.step(0, shown, rows_of(0, shown, options), 0.0)
    distil(state, store, tmp_path / "run", say=silent)
    last = state.step(60, shown, rows_of(60, shown, options), 1.0)
    assert last["distilled"] < 0.5 * first["distilled"]
    assert last["entropy"] < first["entropy"]


@pytest.mark.parametrize("step", [1, 7])
def test_a_killed_student_goes_on_to_the_same_bytes(tmp_path: Path, store: Path, shown: Targets, step: int) -> None:
    whole = distil(begin(shown), store, tmp_path / "whole", say=silent)
    ended = subprocess.run([sys.executable, killed.__file__, str(tmp_path / "parts"), str(step)], check=False)
    assert ended.returncode == -signal.SIGKILL
    told: list[str] = []
    assert distil(begin(shown), store, tmp_path / "parts" / "run", say=told.append) == whole
    assert any(f"goes on at step {step - 1}" in line or f"goes on at step {step}" in line for line in told)
    assert (tmp_path / "parts" / "run" / "model.safetensors").read_bytes() == whole


def test_a_finished_student_is_not_trained_again(tmp_path: Path, store: Path, shown: Targets) -> None:
    whole = distil(begin(shown), store, tmp_path, say=silent)
    steps: list[int] = []
    assert distil(begin(shown), store, tmp_path, say=silent, after_step=steps.append) == whole
    assert steps == []


def test_other_options_are_refused_and_a_later_end_is_not(tmp_path: Path, store: Path, shown: Targets) -> None:
    distil(begin(shown), store, tmp_path, say=silent)
    other = begin(shown, replace(OPTIONS, learning_rate=1e-4))
    with pytest.raises(CheckpointMismatch, match="options"):
        distil(other, store, tmp_path, say=silent)
    steps: list[int] = []
    longer = replace(OPTIONS, steps=OPTIONS.steps + 2)
    distil(begin(shown, longer), store, tmp_path, say=silent, after_step=steps.append)
    assert steps == [OPTIONS.steps + 1, OPTIONS.steps + 2]


def test_a_schedule_of_minutes_ends_when_they_are_over(tmp_path: Path, store: Path, shown: Targets) -> None:
    options = replace(OPTIONS, minutes=0.5 / 60)
    distil(begin(shown, options), store, tmp_path, say=silent)
    found = load_checkpoint(tmp_path / "checkpoint.safetensors", _identity_in(tmp_path))
    assert found is not None
    assert found.state["seconds"] >= 0.5
    assert found.state["step"] >= 1


def _identity_in(folder: Path) -> dict[str, object]:
    with safe_open(folder / "checkpoint.safetensors", "pt") as file:
        identity: dict[str, object] = json.loads(file.metadata()["run"])["identity"]
        return identity


def test_progress_is_written_for_programs(tmp_path: Path, store: Path, shown: Targets) -> None:
    told: list[str] = []
    distil(begin(shown, replace(OPTIONS, steps=50)), store, tmp_path, say=told.append)
    line = json.loads((tmp_path / "progress.jsonl").read_text())
    assert line["step"] == 50
    assert set(line) == {"step", "position", "seconds", "distilled", "entropy", "accuracy"}
    assert "step 50 (100.0%)" in told[-1]


def test_two_threads_compute_what_one_computes(shown: Targets) -> None:
    states = [begin(shown, threads=threads) for threads in (1, 2)]
    rows = rows_of(0, shown)
    one, two = (state.step(0, shown, rows, 0.0) for state in states)
    assert one == pytest.approx(two, rel=2e-2)
    own, other = (torch.cat([each.grad.flatten() for each in s.model.parameters() if each.grad is not None])
                  for s in states)  # fmt: skip
    assert len(own) == sum(each.numel() for each in states[0].model.parameters())
    assert torch.cosine_similarity(own, other, 0) > 0.999  # products are in bfloat16


def test_a_loss_that_is_not_a_number_stops_it(tmp_path: Path, store: Path, shown: Targets) -> None:
    state = begin(shown)
    state.model.token.weight.data.fill_(torch.nan)
    with pytest.raises(Diverged, match="last checkpoint is good"):
        distil(state, store, tmp_path, say=silent)


def test_its_weights_are_the_averaged_ones_without_the_heads_of_training(shown: Targets) -> None:
    state = begin(shown)
    for step in range(2):  # the first begins the average
        state.step(step, shown, rows_of(step, shown), 0.5)
    written = load(weights_of(state))
    averaged = under("network.", state.average.module.state_dict())
    assert written.keys() == averaged.keys()
    for name, value in written.items():
        torch.testing.assert_close(value, averaged[name].half())
    assert any(not torch.equal(averaged[name], value) for name, value in state.model.network.state_dict().items())


def test_it_begins_with_the_older_weights_and_the_bundled_backbone_takes_what_it_writes(
    tmp_path: Path, store: Path, shown: Targets
) -> None:
    network = new_student(None, DistillOptions())
    assert network.head.fc.out_features == 200
    state = Distilling.begin(network, shown, OPTIONS, load_backbone().preprocessing)
    (tmp_path / "model.safetensors").write_bytes(weights_of(state))
    first = load_backbone(weights=tmp_path / "model.safetensors").state_dict()
    for name, value in load_backbone(SHIPPED[-1]).state_dict().items():
        torch.testing.assert_close(first[name], value)


def test_a_student_begins_with_a_file_or_afresh(tmp_path: Path) -> None:
    fresh = new_student(None, DistillOptions(fresh=True))
    bundled = new_student(None, DistillOptions())
    assert not torch.equal(fresh.patch_embed.proj.weight, bundled.patch_embed.proj.weight)
    (tmp_path / "own.safetensors").write_bytes(_saved(fresh))
    again = new_student(tmp_path / "own.safetensors", DistillOptions())
    torch.testing.assert_close(again.patch_embed.proj.weight, fresh.patch_embed.proj.weight, rtol=1e-3, atol=1e-4)


def _saved(network: torch.nn.Module) -> bytes:
    return save({name: value.half() for name, value in network.state_dict().items()})


def test_targets_are_standardised(shown: Targets) -> None:
    _, features, _ = shown.batch(torch.arange(len(shown)))
    standard = Scale.measure(shown)(features)
    for kind in (standard[:, :1], standard[:, 1:]):
        flat = kind.flatten(0, 1)
        torch.testing.assert_close(flat.mean(0), torch.zeros(384), atol=1e-3, rtol=0)
        torch.testing.assert_close(flat.std(0, correction=0), torch.ones(384), atol=1e-2, rtol=0)


def test_the_loss_is_least_where_the_student_agrees() -> None:
    wanted = torch.randn(4, 5, 384)
    assert losses(wanted, wanted) < 1e-5
    assert losses(wanted * 0.9, wanted) < losses(-wanted, wanted)


def test_a_cosine_classifier_reads_angles_alone() -> None:
    student = Student(new_student(None, OPTIONS), sharpness=16.0).eval()
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        _, logits = student(images)
        student.network.norm.weight *= 2
        student.network.norm.bias *= 2
        _, longer = student(images)
    assert logits.abs().max() <= 16.0
    torch.testing.assert_close(longer, logits, rtol=1e-4, atol=1e-4)


def test_a_mirrored_view_has_its_quadrants_exchanged() -> None:
    """Pixels are their quadrant's number, so that targets can be read off them."""
    quadrants = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8)
    pixels = quadrants.repeat_interleave(8, 0).repeat_interleave(8, 1)[None, :, :, None].repeat(32, 1, 1, 3)
    features = torch.arange(5.0).view(1, 5, 1).repeat(32, 1, 384)
    turned, said = mirror(pixels, features, torch.Generator().manual_seed(0))
    shown = turned[:, [4, 4, 12, 12], [4, 12, 4, 12], 0].float()
    assert torch.equal(said[:, 1:, 0], shown)
    assert torch.equal(said[:, 0], features[:, 0])
    assert 4 < int((shown[:, 0] == 2).sum()) < 28


def test_each_pass_shows_every_view_once_in_another_order() -> None:
    options = replace(OPTIONS, batch_size=12)
    orders = []
    for one in (Pass(48, 0), Pass(48, 4)):
        assert [one.over(one.start + step, 12) for step in range(5)] == [False] * 4 + [True]
        orders.append(torch.cat([one.rows(one.start + step, options) for step in range(4)]))
        assert orders[-1].sort().values.tolist() == list(range(48))
    assert not torch.equal(*orders)


def test_views_that_are_added_are_taken_by_the_next_pass(tmp_path: Path) -> None:
    """A run that is stopped inside a pass goes on with the views of that pass, though there are more by then."""
    options = replace(OPTIONS, steps=7)  # passes of three steps, then of six

    class Stop(Exception):
        pass

    def growing(store: Path, stop: int) -> Callable[[int], None]:
        def after(step: int) -> None:
            if step == 2:
                targets(store, rounds=2)
            if step == stop:
                targets(store, rounds=3)
                raise Stop

        return after

    stores = tmp_path / "one", tmp_path / "two"
    shown, told = [targets(store) for store in stores], list[str]()
    whole = distil(
        begin(shown[0], options), stores[0], tmp_path / "whole", say=told.append, after_step=growing(stores[0], 99)
    )
    assert [line for line in told if "pass" in line] == ["a pass over 48 views", "a pass over 96 views"]
    with pytest.raises(Stop):
        distil(
            begin(shown[1], options), stores[1], tmp_path / "run", say=silent, every=0, after_step=growing(stores[1], 5)
        )
    assert distil(begin(shown[1], options), stores[1], tmp_path / "run", say=silent) == whole

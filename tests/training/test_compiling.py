"""Compiled sub-layers give what their modules give, forwards and back, for batches of any size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from adapters_store import unpack
from backbone import Backbone
from tests.training.small import small_backbone, small_options, small_prepared, small_set
from training import run
from training.compiling import compiled
from training.export import golden_logits
from training.fit import logits_of
from training.mimi import Job, train_mimi
from training.model import AdaptedModel
from training.options import Precision
from training.precision import resident

WIDTHS = (2, 0, 5, 3)
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute")  # PyTorch hides its own, but not from an error


def logits_and_gradients(model: AdaptedModel, pixels: Tensor) -> list[Tensor]:
    logits = logits_of(model, pixels)
    return [logits, *torch.autograd.grad(logits.square().sum(), list(model.task_parameters().values()))]


def check(plain: AdaptedModel, fast: AdaptedModel, images: int, *, tolerance: float) -> None:
    pixels = small_set(images, 0).pixels
    for expected, given in zip(logits_and_gradients(plain, pixels), logits_and_gradients(fast, pixels), strict=True):
        torch.testing.assert_close(given, expected, rtol=0, atol=tolerance * float(expected.detach().abs().max()))


def both(precision: Precision, backend: str) -> tuple[AdaptedModel, AdaptedModel]:
    network = resident(small_backbone(), precision)
    return AdaptedModel(network, WIDTHS, 3), AdaptedModel(compiled(network, backend), WIDTHS, 3)


def test_compiled_sub_layers_give_what_their_modules_give() -> None:
    check(*both("fp32", "inductor"), 8, tolerance=1e-5)


def test_batches_of_any_size_pass_through_what_is_compiled() -> None:
    plain, fast = both("bf16", "eager")
    for images in (8, 5):
        check(plain, fast, images, tolerance=1e-5)


def test_a_run_compiles_its_own_copy_and_writes_what_the_original_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = []

    def recorded(backbone: Backbone) -> Backbone:
        copies.append(compiled(backbone, "eager"))
        return copies[-1]

    monkeypatch.setattr(run, "compiled", recorded)
    job = Job(small_prepared(), small_backbone(), small_options(compile=True, target_sigma=16.0), tmp_path)
    adapter = unpack(train_mimi(job).adapter)
    np.testing.assert_array_equal(adapter.golden_logits, golden_logits(job.backbone, adapter))
    assert len(copies) == 1
    assert all(site.branch._compiled_call_impl for site in copies[0].sites)
    assert not any(site.branch._compiled_call_impl for site in job.backbone.sites)

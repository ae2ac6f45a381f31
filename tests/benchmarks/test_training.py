"""The benchmark of training compares the same computation, and counts the cached prefix where it says so."""

import pytest
import torch
from torch import Tensor

from backbone import Backbone
from benchmarks.plain_loop import check_equal, plain_model
from benchmarks.training import PLAIN, Scene, parse, peak_memory, random_images, report
from training.fit import logits_of


def scene(first: int = 20) -> Scene:
    return Scene(first, random_images(4), views=2)


def test_the_plain_model_is_ours_and_another_one_is_refused() -> None:
    model, pixels = scene().model(), random_images(4).pixels
    baseline = plain_model({site: adapter.weights for site, adapter in model.live.items()}, model.head)
    check_equal(model, baseline, pixels)
    assert torch.isfinite(logits_of(model, pixels)).all()
    with torch.no_grad():
        model.head.bias.add_(1)
    with pytest.raises(ValueError, match="other logits"):
        check_equal(model, baseline, pixels)


def test_the_next_cycle_computes_no_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    systems = scene().loops()
    for system in systems.values():  # the cycle before; and kernels are compared with the modules once
        system()
    embedded: list[int] = []
    embed = Backbone.embed

    def counted(self: Backbone, images: Tensor) -> Tensor:
        embedded.append(len(images))
        return embed(self, images)

    monkeypatch.setattr(Backbone, "embed", counted)
    for name, expected in {"bf16, cached before": 0, "fp32, cached": 2 * 4, "bf16": 4}.items():
        embedded.clear()
        systems[name]()
        assert sum(embedded) == expected, name


def test_peak_memory_is_that_of_a_process_which_trains_alone() -> None:
    options = parse(["--json", "-", "--images", "4", "--views", "2"])
    assert peak_memory(20, PLAIN, options) > 2**27  # PyTorch alone takes more than this


def test_the_report_names_every_system() -> None:
    ratio = {"median": 2.0, "low": 1.9, "high": 2.1}
    found = {
        "images_per_second": {PLAIN: 10.0, "fp32": 20.0, "fp32, cached before": 30.0},
        "against_plain": {"fp32": ratio, "fp32, cached before": ratio},
        "peak_bytes": {PLAIN: 2**20, "fp32": 2**21},
    }
    lines = report({"scenes": {"late": found}}).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["late", PLAIN, "fp32", "fp32,"]
    assert "2.00 (1.90 … 2.10)" in lines[-1]

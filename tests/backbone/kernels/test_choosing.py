"""Which numbers are used where nobody says so: those that a measurement on this machine found to be faster."""

import json
from pathlib import Path
from shutil import copy

import pytest
import torch

from backbone.backend import Backend
from backbone.kernels import Measurement, kept, measure, multiplies, path_in, precision_in_force
from tests.backbone.kernels.networks import swin

needs_bf16 = pytest.mark.skipif(not multiplies("bf16"), reason="needs a processor with AVX-512 BF16")


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """A folder with this machine's library and nothing else."""
    copy(path_in(folder), tmp_path)
    return tmp_path


def anything(_backend: Backend) -> bool:
    return True


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("precision-*.json"))


@needs_bf16
def test_a_measurement_is_made_once_for_a_network_and_kept(own: Path) -> None:
    network = swin()
    asked: list[str] = []

    def judge(backend: Backend) -> bool:
        asked.append(backend.precision)
        return True

    assert kept(network, own) is None
    found = measure(network, own, accepts=judge)
    assert found.bf16_vs_fp32 is not None
    assert asked == ["bf16"] * (found.bf16_vs_fp32 < 0.9)  # what is no gain need not be judged
    assert kept(network, own) == measure(network, own, accepts=anything) == found
    assert len(files(own)) == 1
    measure(swin(), own, accepts=anything)  # other weights
    assert len(files(own)) == 2


@needs_bf16
def test_what_was_kept_decides_and_what_is_damaged_is_measured_again(own: Path) -> None:
    network = swin()
    measure(network, own, accepts=anything)
    (file,) = files(own)
    file.write_text(json.dumps({"bf16_vs_fp32": 0.25, "accepted": True}))
    assert precision_in_force(network, own) == ("bf16", "bf16 takes 0.25 of the time of fp32 on this processor")
    for content in ("", "[]", "{}", '{"other": 1}'):
        file.write_text(content)
        assert kept(network, own) is None
    assert measure(network, own, accepts=anything) == kept(network, own)


@needs_bf16
def test_a_folder_that_keeps_nothing_is_no_obstacle(own: Path) -> None:
    network = swin()
    measure(network, own, accepts=anything)
    (file,) = files(own)
    file.unlink()
    file.mkdir()
    assert measure(network, own, accepts=anything).bf16_vs_fp32 is not None
    assert kept(network, own) is None


@pytest.mark.parametrize(
    ("found", "precision"),
    [
        (Measurement(0.3, accepted=True), "bf16"),
        (Measurement(0.95, accepted=True), "fp32"),  # within the noise
        (Measurement(1.4, accepted=True), "fp32"),
        (Measurement(0.3, accepted=False), "fp32"),
        (Measurement(None, accepted=False), "fp32"),
    ],
)
def test_bf16_must_be_faster_and_near_enough(found: Measurement, precision: str) -> None:
    assert found.precision == precision


def test_without_such_products_fp32_is_in_force(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = swin()
    path_in(own).unlink()
    assert precision_in_force(network, own)[0] == "fp32"
    for name in ("_is_avx512_bf16_supported", "_is_vnni_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    assert precision_in_force(network, own) == ("fp32", "the kernels do not multiply bf16 here")
    assert measure(network, own, accepts=anything).precision == "fp32"
    assert files(own) == []

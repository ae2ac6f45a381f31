"""Compiled kernels come into use while a server runs, and whatever goes wrong with them stops nothing."""

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor

from backbone import Backbone, load_backbone
from backbone.backend import BARE, Backend, Live, ModuleBackend
from backbone.kernels import kept, multiplies, path_in
from service.engines import Kernels, keeps_answers


@pytest.fixture(scope="module")
def network() -> Backbone:
    return load_backbone()


class Used:
    """Remembers what was handed over."""

    def __init__(self) -> None:
        self.given: list[Backend] = []

    def __call__(self, backend: Backend) -> None:
        self.given.append(backend)


def test_what_is_missing_is_compiled_once_and_used(network: Backbone, tmp_path: Path) -> None:
    used = Used()
    kernels = Kernels(network, tmp_path / "kernels", used, compiles=True)
    assert kernels.load() == 0
    kernels.start()
    kernels.close()
    assert [path.name for path in (tmp_path / "kernels").iterdir()] == [path_in(tmp_path).name]
    (compiled,) = used.given
    assert compiled.compiled == len(network.sites)
    x = torch.randn(2, 16, 16, 48)
    with torch.inference_mode():
        torch.testing.assert_close(compiled.advance(x, 0, 8), network.advance(x, 0, 8), rtol=0, atol=1e-4)
    again = Kernels(network, tmp_path / "kernels", used, compiles=True)
    assert again.load() == len(network.sites)
    again.start()
    again.close()
    assert len(used.given) == 2  # `load` alone handed something over


@pytest.mark.skipif(not multiplies("bf16"), reason="needs a processor with AVX-512 BF16")
def test_in_bf16_it_hands_over_what_rounds(network: Backbone, tmp_path: Path) -> None:
    used = Used()
    kernels = Kernels(network, tmp_path, used, compiles=True, precision="bf16")
    kernels.start()
    kernels.close()
    (compiled,) = used.given
    x = torch.randn(2, 16, 16, 48)
    with torch.inference_mode():
        exact = network.advance(x, 0, 8)
        assert 1e-4 < (compiled.advance(x, 0, 8) - exact).norm() / exact.norm() < 1e-2


@pytest.mark.skipif(not multiplies("bf16"), reason="needs a processor with AVX-512 BF16")
def test_what_auto_means_is_measured_once_and_used(network: Backbone, tmp_path: Path) -> None:
    used = Used()
    kernels = Kernels(network, tmp_path, used, compiles=True, precision="auto")
    assert kernels.load() == 0
    kernels.start()
    kernels.close()
    found = kept(network, tmp_path)
    assert found is not None
    assert found.bf16_vs_fp32 is not None
    assert found.precision == used.given[-1].precision == ("bf16" if found.bf16_vs_fp32 < 0.9 else "fp32")
    assert used.given[0].precision == "fp32"  # until that was known
    again, count = Kernels(network, tmp_path, used, compiles=True, precision="auto"), len(used.given)
    assert again.load() == len(network.sites)
    again.start()
    again.close()
    assert [each.precision for each in used.given[count:]] == [found.precision]


def test_rounded_answers_are_judged_by_the_bundled_tasks(network: Backbone) -> None:
    class Off(ModuleBackend):
        """As a backend that rounds far too much: to the sign."""

        def advance(self, x: Tensor, start: int, stop: int, live: Live = BARE) -> Tensor:
            return torch.sign(super().advance(x, start, stop, live))

    assert keeps_answers(network, ModuleBackend(network))
    assert not keeps_answers(network, Off(network))


def test_only_what_is_there_is_used_unless_more_is_asked_for(network: Backbone, tmp_path: Path) -> None:
    used = Used()
    kernels = Kernels(network, tmp_path, used, compiles=False)
    assert kernels.load() == 0
    kernels.start()
    kernels.close()
    assert used.given == []
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_library_is_told_of_and_not_used(
    network: Backbone, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path_in(tmp_path).write_bytes(b"not a library")
    used = Used()
    with caplog.at_level(logging.WARNING):
        assert Kernels(network, tmp_path, used, compiles=False).load() == 0
    assert "cannot be loaded" in caplog.text
    assert used.given == []


def test_without_a_compiler_the_server_says_so_and_goes_on(
    network: Backbone, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    used = Used()
    kernels = Kernels(network, tmp_path / "kernels", used, compiles=True)
    with caplog.at_level(logging.WARNING):
        kernels.start()
        kernels.close()
    assert "no C++ compiler is installed" in caplog.text
    assert used.given == []

"""Compiled kernels come into use while a server runs, and whatever goes wrong with them stops nothing."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from backbone import Backbone, load_backbone
from backbone.arithmetic import Compute, Plain
from backbone.kernels import path_in
from service.kernels import Kernels


@pytest.fixture(scope="module")
def network() -> Backbone:
    return load_backbone()


class Used:
    """Remembers what was handed over."""

    def __init__(self) -> None:
        self.given: list[Sequence[Compute]] = []

    def __call__(self, branches: Sequence[Compute]) -> None:
        self.given.append(branches)


def test_what_is_missing_is_compiled_once_and_used(network: Backbone, tmp_path: Path) -> None:
    used = Used()
    kernels = Kernels(network, tmp_path / "kernels", used, compiles=True)
    assert kernels.load() == 0
    kernels.start()
    kernels.close()
    assert [path.name for path in (tmp_path / "kernels").iterdir()] == [path_in(tmp_path).name]
    (branches,) = used.given
    x = torch.randn(2, 16, 16, 48)
    with torch.inference_mode():
        for site, branch in zip(network.sites[:4], branches[:4], strict=True):
            assert not isinstance(branch, Plain)
            torch.testing.assert_close(branch(x), site.branch(x), rtol=0, atol=1e-5)
    again = Kernels(network, tmp_path / "kernels", used, compiles=True)
    assert again.load() == len(network.sites)
    again.start()
    again.close()
    assert len(used.given) == 2  # `load` alone handed something over


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

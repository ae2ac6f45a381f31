"""Compiled sub-layers come into use while a server runs, and whatever goes wrong with them stops nothing."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from backbone import Backbone, load_backbone
from backbone.compiled import Cache
from backbone.compiled.kinds import kinds_of
from backbone.compiled.program import CompiledBranch
from service.compiling import Compiling
from service.engine.runtime import Branch

NAME = "vit_tiny_patch16_224"  # two kinds of sub-layer, so it is compiled soonest
PATIENCE = 1200.0  # seconds; the compiler takes what nobody else wants of the processor


@pytest.fixture(scope="module")
def network() -> Backbone:
    return load_backbone(NAME, pretrained=False)


class Used:
    """Remembers what was handed over."""

    def __init__(self) -> None:
        self.branches: list[tuple[Branch, ...]] = []

    def __call__(self, branches: Sequence[Branch]) -> None:
        self.branches.append(tuple(branches))


@pytest.mark.timeout(PATIENCE)
def test_what_is_missing_is_made_by_another_process_and_then_used(network: Backbone, tmp_path: Path) -> None:
    used = Used()
    compiling = Compiling(network, tmp_path, used, background=True)
    assert compiling.load() == 0
    compiling.start()
    compiling.join(PATIENCE)
    assert Cache(tmp_path).missing(network) == []
    (branches,) = used.branches
    assert all(isinstance(branch, CompiledBranch) for branch in branches)
    x = torch.randn(2, 197, 192)
    with torch.inference_mode():
        for site, branch in zip(network.sites, branches, strict=True):
            torch.testing.assert_close(branch(x), site.branch(x), rtol=0, atol=1e-5)


def test_a_server_that_ends_ends_the_compiler_too(network: Backbone, tmp_path: Path) -> None:
    used = Used()
    compiling = Compiling(network, tmp_path, used, background=True)
    compiling.start()
    start = time.monotonic()
    compiling.close()
    assert time.monotonic() - start < 30
    assert used.branches == []


def test_only_what_is_there_is_used_unless_more_is_asked_for(network: Backbone, tmp_path: Path) -> None:
    used = Used()
    compiling = Compiling(network, tmp_path, used, background=False)
    compiling.start()
    compiling.join(0)
    compiling.close()
    assert used.branches == []
    assert len(Cache(tmp_path).missing(network)) == 2


def test_a_damaged_program_is_told_of_and_not_used(
    network: Backbone, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = Cache(tmp_path).path(kinds_of(network)[0])
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a library")
    used = Used()
    with caplog.at_level(logging.INFO):
        assert Compiling(network, tmp_path, used, background=False).load() == 0
    assert "cannot be loaded" in caplog.text
    assert "0 of 24 sub-layers are compiled" in caplog.text
    assert used.branches == []

"""This machine's library, made once by the real compiler."""

from pathlib import Path

import pytest

from backbone.kernels import PLAIN, build, level, path_in
from backbone.kernels.bindings import Library


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With this machine's library."""
    folder = tmp_path_factory.mktemp("kernels")
    build(folder, level())
    return folder


@pytest.fixture(scope="session", params=[None, 4, 8, 16], ids=["own lanes", "4 lanes", "8 lanes", "16 lanes"])
def library(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """With vectors of this machine, of one without AVX, with AVX2, with AVX-512, which the compiler takes apart."""
    if request.param is None:
        return Library(path_in(folder))
    narrow = tmp_path_factory.mktemp("lanes")
    return Library(build(narrow, PLAIN if request.param == 4 else level(), defines=[f"LANES={request.param}"]))

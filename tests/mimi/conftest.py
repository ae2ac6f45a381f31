"""A real server in a process of its own, and a task adapter that `mimi train` made."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mimi.cli import main
from mimi.client import Client
from mimi.demo.server import Server, running_server
from tests.training.data.trees import write_folder

QUICK = [
    "--epochs",
    "1",
    "--warmup-epochs",
    "0",
    "--batch-size",
    "4",
    "--learning-rate",
    "1e-3",
    "--target-sigma",
    "64",
    "--size-tolerance",
    "1",
]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task adapter for ants and cats, trained for a moment."""
    root = tmp_path_factory.mktemp("trained")
    data = write_folder(root / "images", {"ant": 4, "cat": 4})
    out = root / "pets.safetensors"
    assert main(["train", str(data), "--out", str(out), "--folder", str(root / "run"), *QUICK]) == 0
    return out


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over a fresh store."""
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A client of that server."""
    with Client(server.url) as connected:
        yield connected

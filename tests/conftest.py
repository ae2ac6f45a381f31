"""Shared by all tests: one event loop backend, and a seed for torch if it is loaded.

pytest-randomly seeds `random` and numpy before each test. torch is seeded here, but only if something has imported it:
tests of packages without torch must not load it.
"""

import sys

import pytest

SEED = 20240117


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, as the server does."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _seeded_torch() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(SEED)

"""Servers that tests share. Imported late: the engine's tests stand below this folder and need no web stack."""

from collections.abc import Iterator
from importlib import import_module
from itertools import count
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.service.adapters import Made
    from tests.service.live import Live

_numbers = count()


@pytest.fixture(scope="session")
def made() -> "dict[str, Made]":
    """The tasks of the shared server, different in classes, live sites and widths."""
    make = import_module("tests.service.adapters").make
    return {
        "cats": make(1, classes=3, live=(3, 7), width=2),
        "dogs": make(2, classes=7, live=(0, 1, 5), width=5),
        "bare": make(3, classes=2, live=(), width=0),
    }


@pytest.fixture(scope="session")
def live(made: "dict[str, Made]", tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Live]":
    """A server with the default limits, and patience for a busy machine."""
    settings = import_module("service.settings").Settings
    serving = import_module("tests.service.live").serving
    store = str(tmp_path_factory.mktemp("store") / "store.db")
    with serving(settings(store=store, request_seconds=60.0), made) as server:
        yield server


@pytest.fixture(scope="session")
def tight(made: "dict[str, Made]", tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Live]":
    """A server with limits so small that tests can reach them."""
    settings = import_module("service.settings").Settings(
        store=str(tmp_path_factory.mktemp("tight") / "store.db"),
        image_bytes=20_000,
        adapter_bytes=50_000,
        body_bytes=60_000,
        held_bytes=100_000,
        images_per_request=3,
        connections=12,
        body_seconds=1.0,
        header_seconds=1.0,
        idle_seconds=1,
    )
    with import_module("tests.service.live").serving(settings, {"cats": made["cats"]}) as server:
        yield server


@pytest.fixture
def task() -> str:
    """A task id that no other test uses."""
    return f"task-{next(_numbers)}"


@pytest.fixture
def alive(live: "Live") -> Iterator[None]:
    """After an attack: nothing of our own failed, and good requests are taken."""
    yield
    assert "internal_error" not in live.client.get("/metrics").text
    assert live.client.get("/health/ready").status_code == 200

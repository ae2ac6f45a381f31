"""Servers with a port for gRPC. Imported late, as those of the folder above."""

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.service.adapters import Made
    from tests.service.live import Live

KEYS = """
[[keys]]
name = "shop"
kind = "predict"
key = "shop-key-16-characters"

[[keys]]
name = "noisy"
kind = "predict"
key = "noisy-key-16-characters"

[[keys]]
name = "slow"
kind = "predict"
key = "slow-key-of-16-characters"
rate = 0.01
burst = 2

[[keys]]
name = "boss"
kind = "manage"
key = "boss-key-16-characters"
"""


@pytest.fixture(scope="session")
def spoken(made: "dict[str, Made]", tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Live]":
    """A server without keys that speaks gRPC as well."""
    settings = import_module("service.settings").Settings
    store = str(tmp_path_factory.mktemp("spoken") / "store.db")
    with import_module("tests.service.live").serving(
        settings(store=store, grpc_port=0, request_seconds=60.0), made
    ) as server:
        yield server


@pytest.fixture(scope="session")
def locked(made: "dict[str, Made]", tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Live]":
    """A server with keys, and with limits so small that tests can reach them."""
    folder = tmp_path_factory.mktemp("locked")
    (folder / "keys.toml").write_text(KEYS)
    settings = import_module("service.settings").Settings(
        store=str(folder / "store.db"),
        keys_file=folder / "keys.toml",
        grpc_port=0,
        body_bytes=60_000,
        held_bytes=480_000,
        body_seconds=1.0,
        connections=60,
        header_seconds=1.0,
        wrong_key_rate=0.001,
        request_seconds=60.0,
    )
    with import_module("tests.service.live").serving(settings, {"cats": made["cats"]}) as server:
        yield server

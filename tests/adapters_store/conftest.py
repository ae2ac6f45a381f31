"""Fixtures of the store's tests: every home, and a store open on it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings

from adapters_store.log_store import LogStore
from tests.adapters_store.homes import HOMES, Home

settings.register_profile("unhurried", deadline=None)  # a busy machine is no reason to fail
settings.load_profile("unhurried")


@pytest.fixture(params=list(HOMES.values()), ids=list(HOMES))
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    """Each home in turn, empty."""
    made: Home = request.param(tmp_path)
    return made


@pytest.fixture
def store(home: Home) -> Iterator[LogStore]:
    """A store open on each home in turn."""
    with closing(home.open()) as opened:
        yield opened


@pytest.fixture
def filled(store: LogStore) -> LogStore:
    """A store with versions 1 and 2 of one task, 2 being live."""
    store.publish("cat", b"one")
    store.publish("cat", b"two")
    return store

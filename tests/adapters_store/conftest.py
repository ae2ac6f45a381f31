"""Fixtures of the store's tests: every place, and a store open on it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings

from adapters_store.store import Store
from tests.adapters_store.backends import PLACES, Place

settings.register_profile("unhurried", deadline=None)  # a busy machine is no reason to fail
settings.load_profile("unhurried")


@pytest.fixture(params=list(PLACES.values()), ids=list(PLACES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each place in turn, empty."""
    made: Place = request.param(tmp_path)
    return made


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    """A store open on each place in turn."""
    with closing(place.open()) as opened:
        yield opened


@pytest.fixture
def filled(store: Store) -> Store:
    """A store with versions 1 and 2 of one task, 2 being live."""
    store.publish("cat", b"one")
    store.publish("cat", b"two")
    return store

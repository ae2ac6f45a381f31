"""A real server in a process of its own, with the tasks that ship, and both clients of it."""

from collections.abc import Iterator

import pytest

from adapters_store.bundled import bundled_tasks
from service.client import AsyncClient, Client, RetryPolicy
from tests.service.client.scripted import blocking
from tests.service.live import PATIENCE
from tests.service.processes import running

KINDS = ("sync", "async")
PREDICT, MANAGE = "predict-key-0123456789", "manage-key-0123456789"


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's address."""
    store = tmp_path_factory.mktemp("client") / "store.db"
    keys = {"predict_key": PREDICT, "manage_key": MANAGE}
    with running("service", store=str(store), request_seconds=str(PATIENCE), **keys) as (_, url):
        yield url


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """ "sync" or "async": the client under test."""
    chosen: str = request.param
    return chosen


@pytest.fixture
def client(kind: str, address: str) -> Iterator[Client]:
    """A client of the server, used in the same way whichever it is."""
    if kind == "sync":
        with Client(address, key=MANAGE, policy=RetryPolicy(seconds=PATIENCE)) as made:
            yield made
    else:
        with blocking(AsyncClient(address, key=MANAGE, policy=RetryPolicy(seconds=PATIENCE))) as waiting:
            yield waiting


@pytest.fixture(scope="session")
def adapter() -> bytes:
    """The file of a task that ships."""
    return bundled_tasks()["digits"]

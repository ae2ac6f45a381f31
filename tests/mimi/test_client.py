"""The API from outside, against a real server."""

from pathlib import Path

import pytest

from mimi.client import Client
from mimi.errors import ServerRefused, ServerUnreachable
from tests.training.data.trees import png


def test_what_is_published_is_listed_and_answers(client: Client, trained: Path) -> None:
    published = client.publish("client-pets", trained.read_bytes())
    answer = client.predict("client-pets", png())
    assert (answer.task, answer.version, answer.sha256) == ("client-pets", 1, published["sha256"])
    assert set(answer.labels) == {"ant", "cat"}
    assert answer.gflops_spent > 0
    assert answer.gflops_saved > 0
    assert "client-pets" in [entry["task"] for entry in client.tasks()]
    assert client.task("client-pets")["labels"] == ["ant", "cat"]


def test_the_server_s_own_words_come_through(client: Client) -> None:
    with pytest.raises(ServerRefused, match="GET /v1/tasks/nobody: 404, unknown_task: "):
        client.task("nobody")


def test_a_server_that_is_not_there_is_named() -> None:
    with Client("http://127.0.0.1:9") as client:
        assert not client.ready()
        with pytest.raises(ServerUnreachable, match=r"http://127\.0\.0\.1:9"):
            client.tasks()


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ServerUnreachable), Client(url) as client:
        client.tasks()

"""A short run against a real server process: changes of every kind, and not one answer lost or wrong."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import swaps
from benchmarks.swaps.changes import Swapper
from benchmarks.swaps.clients import Log, asking
from benchmarks.swaps.material import TASK, Material, prepare
from benchmarks.swaps.verdict import verdict
from mimi.demo.server import running_server
from service.client import Client

pytestmark = pytest.mark.timeout(400)  # the server imports torch, which takes its time on a busy machine

SHORT = swaps.Plan(seconds=3.0, quiet=0.3, clients=8, period=0.25)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, str]]:
    """A client of a server with the bundled tasks, and its address."""
    folder = tmp_path_factory.mktemp("swaps")
    with running_server(folder, options=["--request-seconds", "60"]) as server, Client(server.url) as made:
        yield made, server.url


@pytest.fixture(scope="module")
def material(client: tuple[Client, str]) -> Material:
    return prepare(client[0])


def test_while_versions_change_no_answer_is_lost_or_wrong(client: tuple[Client, str], material: Material) -> None:
    swapper = Swapper(client[0], material)
    quiet, swapped = asyncio.run(swaps.load(client[1], material, swapper, SHORT))
    found = verdict([quiet, swapped], swapper.history, swapper.files)
    assert (found["refused"], found["not_live"], found["torn"]) == ({}, 0, 0)
    assert len(swapped.seen) >= SHORT.clients
    assert len(swapper.history) >= 2
    client[0].delete_task(TASK)


def test_an_answer_that_is_lost_is_noticed(client: tuple[Client, str], material: Material) -> None:
    async def lose() -> Log:
        log = Log()
        async with asking(client[1], material, 4, log):
            while len(log.seen) < 4:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(client[0].delete_task, TASK)
            while not log.refused:
                await asyncio.sleep(0.01)
        return log

    swapper = Swapper(client[0], material)
    log = asyncio.run(lose())
    assert set(log.refused) == {"404 unknown_task"}
    assert all(each.whole for each in log.seen)
    found = verdict([log], swapper.history, swapper.files)
    assert found["harm"] == log.refused.total()


def test_numbers_of_another_file_are_noticed(client: tuple[Client, str], material: Material) -> None:
    Swapper(client[0], material)
    answer = client[0].predict(TASK, material.images[0], output="logits")
    assert material.fits(answer, 0)
    assert not material.fits(answer, 1)
    assert not material.fits(client[0].predict("digits", material.images[0], output="logits"), 0)  # never published
    client[0].delete_task(TASK)


def test_the_result_is_written_and_harm_is_the_exit_status(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for harm in (0, 3):
        monkeypatch.setattr(swaps, "run", lambda plan, harm=harm: {"harm": harm, "seconds": plan.seconds})
        assert swaps.main(["--quick", "--json", str(tmp_path / "out.json")]) == (harm > 0)
        assert json.loads((tmp_path / "out.json").read_text()) == {"harm": harm, "seconds": swaps.QUICK.seconds}

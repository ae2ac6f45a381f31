"""Short swaps against a real server: no answer is lost or wrong, and wrong ones would be noticed."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mimi.demo.server import running_server
from service.client import Client
from tests.stress import swaps
from tests.stress.material import EXACT, TASK, Material, prepare
from tests.stress.swaps import Change, Log, Seen, Swapper, asking, gap, latencies, may_have_answered, spans, verdict

pytestmark = pytest.mark.timeout(400)  # the server imports torch, which takes its time on a busy machine

SHORT = swaps.Plan(seconds=3.0, quiet=0.3, clients=8, period=0.25)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, str]]:
    """A client of a server with the bundled tasks, and its address."""
    folder = tmp_path_factory.mktemp("swaps")
    with running_server(folder, options=["--request-seconds", "60", *EXACT]) as server, Client(server.url) as made:
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


HISTORY = [
    Change("upload", 0.0, 1.0, frozenset({1})),
    Change("alias", 10.0, 11.0, frozenset({2})),
    Change("canary", 20.0, 21.0, frozenset({1, 3})),
]
FILES = {1: "one", 2: "two", 3: "three"}


def seen(sent: float, answered: float, version: int, *, whole: bool = True) -> Seen:
    return Seen(sent, answered, version, FILES.get(version, "?"), whole)


@pytest.mark.parametrize(
    ("sent", "answered", "version", "right"),
    [
        (5.0, 6.0, 1, True),
        (5.0, 6.0, 2, False),  # not published yet
        (5.0, 10.5, 2, True),  # the change was under way
        (5.0, 9.9, 2, False),
        (10.9, 15.0, 1, True),  # perhaps accepted before the change was in force
        (11.1, 15.0, 1, False),  # sent after it had been answered
        (15.0, 19.0, 1, False),
        (15.0, 20.1, 1, True),  # live again
        (15.0, 30.0, 3, True),
        (21.1, 30.0, 2, False),
        (30.0, 31.0, 1, True),
        (30.0, 31.0, 4, False),  # there is no such version
    ],
)
def test_a_version_may_answer_from_the_sending_of_its_change_to_the_answer_of_the_next(
    sent: float, answered: float, version: int, right: bool
) -> None:
    assert may_have_answered(seen(sent, answered, version), spans(HISTORY)) == right


def test_every_kind_of_harm_is_counted() -> None:
    log = Log([seen(5, 6, 1), seen(5, 6, 2), seen(5, 6, 1, whole=False), Seen(5, 6, 1, "two", whole=True)])
    log.refused["503 not_ready"] += 2
    quiet = Log([seen(2, 3, 1)])
    found = verdict([quiet, log], HISTORY, FILES)
    assert found == {"versions_seen": 2, "refused": {"503 not_ready": 2}, "not_live": 1, "torn": 2, "harm": 5}


def test_latencies_and_gaps_are_in_milliseconds() -> None:
    answers = [seen(0.0, 0.010, 1), seen(0.0, 0.030, 1), seen(0.5, 0.520, 1)]
    assert latencies(answers)["max"] == pytest.approx(30.0)
    assert gap(answers) == pytest.approx(490.0)
    assert (latencies([]), gap([])) == ({}, 0.0)

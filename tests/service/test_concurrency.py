"""Many clients at once, with swaps, cancellations and refusals; every answer is complete and right."""

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from service.settings import Settings
from tests.service.adapters import Made, make
from tests.service.asking import IMAGE, PNG, answer, named, predict, probabilities, put, raw
from tests.service.gate import gated, until
from tests.service.live import PATIENCE, Live, encode, picture, serving
from tests.service.wire import request

POST = request("POST", "/v1/tasks/cats/predict", f"Content-Length: {len(PNG)}", body=PNG)


@pytest.fixture(scope="module")
def small(made: dict[str, Made], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server whose lines are short."""
    settings = Settings(
        store=str(tmp_path_factory.mktemp("small") / "store.db"),
        queue_images=4,
        batch_images=2,
        images_per_request=4,
        request_seconds=60.0,
    )
    with serving(settings, made) as server:
        yield server


def ranking(made: Made) -> list[int]:
    """Labels of the test image, most probable first."""
    return [int(index) for index in np.argsort(-made.logits(IMAGE))]


def test_mixed_tasks_at_once_answer_as_each_would_alone(live: Live, made: dict[str, Made]) -> None:
    rounds = [(task, picture(seed, size=(20 + seed, 50))) for seed in range(16) for task in made]
    random.shuffle(rounds)
    with gated(live) as gate, ThreadPoolExecutor(len(rounds)) as pool:
        jobs = [pool.submit(predict, live, task, raw(encode(image)), "?top_k=9") for task, image in rounds]
        until(lambda: live.service.batcher.queued >= 2 * live.service.settings.batch_images)
        gate.open.set()
        for (task, image), job in zip(rounds, jobs, strict=True):
            found = {p.index: p.probability for p in named(answer(job.result()).results[0])}
            wanted = probabilities(made[task].logits(image))
            assert [found[index] for index in sorted(found)] == pytest.approx(wanted.tolist(), abs=1e-5)
    assert len({row.resident.sha256 for row in gate.rows[-16:]}) > 1


def test_a_swap_under_load_loses_nothing_and_mixes_nothing(live: Live, task: str) -> None:
    versions = [make(50), make(51, classes=6), make(52, live=(0,))]
    orders = {made.sha256: ranking(made) for made in versions}
    put(live, task, versions[0].data)
    stop = threading.Event()

    def swap() -> int:
        for made in versions * 4:
            assert put(live, task, made.data).status_code in (200, 201)
        stop.set()
        return 0

    def ask() -> int:
        count = 0
        while not stop.is_set():
            found = answer(predict(live, task, raw(), "?top_k=9"))
            assert [p.index for p in named(found.results[0])] == orders[found.sha256]
            count += 1
        return count

    with ThreadPoolExecutor(9) as pool:
        jobs = [pool.submit(ask) for _ in range(8)]
        assert pool.submit(swap).result() == 0
        assert sum(job.result() for job in jobs) > 8


def test_a_storm_on_one_task_gives_whole_answers_or_none(live: Live, task: str) -> None:
    versions = [make(60), make(61, classes=6)]
    orders = {made.sha256: ranking(made) for made in versions}

    def strike(seed: int) -> list[int]:
        chance = random.Random(seed)
        return [step(chance) for _ in range(6)]

    def step(chance: random.Random) -> int:
        action = chance.randrange(4)
        if action == 0:
            return put(live, task, chance.choice(versions).data).status_code
        if action == 1:
            return live.client.delete(f"/v1/tasks/{task}").status_code
        if action == 2:
            return live.client.get(f"/v1/tasks/{task}").status_code
        response = predict(live, task, raw(), "?top_k=9")
        if response.status_code == 200:
            found = answer(response)
            assert [p.index for p in named(found.results[0])] == orders[found.sha256]
        return response.status_code

    with ThreadPoolExecutor(32) as pool:
        statuses = Counter(
            status for job in [pool.submit(strike, seed) for seed in range(32)] for status in job.result()
        )
    assert set(statuses) <= {200, 201, 204, 404}
    put(live, task, versions[0].data)
    assert answer(predict(live, task, raw())).sha256 == versions[0].sha256


def test_a_client_that_gives_up_frees_its_place_and_harms_no_other(small: Live) -> None:
    with gated(small) as gate, ThreadPoolExecutor(1) as pool:
        first = pool.submit(predict, small, "cats", raw())
        assert gate.reached.wait(PATIENCE)
        quitters = [small.connect() for _ in range(4)]
        for connection in quitters:
            connection.sendall(POST)
        until(lambda: small.service.batcher.queued == 4)
        for connection in quitters[:3]:
            connection.close()
        until(lambda: small.service.batcher.queued == 1)
        gate.open.set()
        assert answer(first.result()).task == "cats"
        assert quitters[3].recv(12) == b"HTTP/1.1 200"
        quitters[3].close()
    assert len(gate.rows) == 2


def test_a_full_queue_is_refused_at_once_and_says_when_to_come_back(small: Live) -> None:
    with gated(small) as gate, ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(predict, small, "cats", raw())]
        assert gate.reached.wait(PATIENCE)
        waiting += [pool.submit(predict, small, "cats", raw()) for _ in range(4)]
        until(lambda: small.service.batcher.queued == 4)
        start = time.monotonic()
        refused = predict(small, "dogs", raw())
        assert time.monotonic() - start < 1
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["code"] == "queue_full"
        gate.open.set()
        assert [job.result().status_code for job in waiting] == [200] * 5


def test_a_deadline_that_passes_in_the_queue_is_answered_in_time_and_not_computed(
    made: dict[str, Made], tmp_path: Path
) -> None:
    hasty = Settings(store=str(tmp_path / "store.db"), request_seconds=0.3)
    with serving(hasty, made) as live, gated(live) as gate, ThreadPoolExecutor(2) as pool:
        first = pool.submit(predict, live, "cats", raw())
        assert gate.reached.wait(PATIENCE)
        second = pool.submit(predict, live, "dogs", raw())
        codes = {(reply.status_code, reply.json()["code"]) for reply in (first.result(), second.result())}
        gate.open.set()
    assert codes == {(504, "deadline_exceeded")}
    assert len(gate.rows) == 1


def test_connections_that_end_in_the_middle_of_a_body_leave_nothing(small: Live) -> None:
    def opened() -> int:
        return len(small.server.server_state.connections)

    before = opened()  # the client keeps some of its own
    with ExitStack() as stack:
        for length in (0, 10, len(POST) - 1):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", small.port)))
            connection.sendall(POST[:length])
        until(lambda: opened() == before + 3)
    until(lambda: opened() == before)
    answer(predict(small, "cats", raw()))

"""The load against a server that stalls or lies: no request is left out, late ones are late, wrong ones are found."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from benchmarks.serving.asking import STYLES, Best, WrongAnswer, best, compare, request
from benchmarks.serving.load import Job, as_json, perform, read, save
from benchmarks.serving.run import TooSlow
from benchmarks.serving.servers import Running
from benchmarks.serving.trees import FIGURES, measure

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]
Reply = Callable[[int], Awaitable[bytes]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def server(reply: Reply, *, idle: float | None = None) -> AsyncIterator[int]:
    """One that gives `reply` to the n-th request of all, whatever was asked, and closes what is `idle` (seconds)."""
    count, serving = 0, set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        serving.add(asyncio.current_task())
        with suppress(TimeoutError):
            while (await asyncio.wait_for(reader.read(65536), idle)).endswith(b"!"):
                count += 1
                writer.write(await reply(count))
        writer.close()
        await writer.wait_closed()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]
        async with asyncio.timeout(30):  # the load closes every connection
            await asyncio.gather(*(task for task in serving if task))


@pytest.fixture
def requests(tmp_path: Path) -> str:
    save([b"POST /one!", b"POST /two!"], tmp_path / "requests")
    assert read(tmp_path / "requests") == [b"POST /one!", b"POST /two!"]
    return str(tmp_path / "requests")


async def at_once(_: int) -> bytes:
    return OK


async def test_clients_of_a_closed_loop_wait_for_their_answers(requests: str) -> None:
    async with server(at_once) as port:
        told = await perform(Job(port, requests, 0.0, 0.3, clients=3, answers=True))
    assert told["failed"] == 0
    assert told["requests"] == told["sent"] == len(told["bodies"]) > 3  # type: ignore[arg-type]


async def test_the_load_runs_as_a_process_from_a_job_to_figures(requests: str) -> None:
    async with server(at_once) as port:
        command = [sys.executable, "-m", "benchmarks.serving.load"]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe)
        told, _ = await process.communicate(as_json(Job(port, requests, 0.0, 0.3, clients=2)).encode())
    figures = json.loads(told)
    assert (process.returncode, figures["failed"]) == (0, 0)
    assert figures["per_second"] > 0


async def turn_of_a_checkout(port: int, requests: str) -> dict[str, float]:
    """A short load on a server in this process, as the comparison of checkouts makes it."""
    job = Job(0, requests, 0.0, 0.5, clients=2)
    return await asyncio.to_thread(measure, Running(port, psutil.Process()), job)


async def test_a_turn_of_a_checkout_has_all_figures(requests: str) -> None:
    async with server(at_once) as port:
        assert set(FIGURES) <= (await turn_of_a_checkout(port, requests)).keys()


async def test_no_request_of_a_turn_may_fail(requests: str) -> None:
    async def fails_once(number: int) -> bytes:
        return OK if number != 20 else b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n{}"

    async with server(fails_once) as port:
        with pytest.raises(TooSlow, match="1 of"):
            await turn_of_a_checkout(port, requests)


async def test_a_stall_makes_every_request_that_was_due_late(requests: str) -> None:
    async def stalls(number: int) -> bytes:
        while number > 5 and not over.is_set():  # everyone after the fifth waits
            await asyncio.sleep(0.01)
        return OK

    over = asyncio.Event()
    async with server(stalls) as port:
        asyncio.get_running_loop().call_later(1.0, over.set)
        told = await perform(Job(port, requests, 0.0, 1.0, rate=100.0))
    assert told["failed"] == 0
    assert 60 < told["requests"] < 140  # type: ignore[operator]
    assert told["p50_ms"] > 250  # type: ignore[operator]  # a closed loop would have seen one slow request


async def test_a_connection_that_the_server_closed_for_idleness_is_not_asked(requests: str) -> None:
    async with server(at_once, idle=0.001) as port:
        told = await perform(Job(port, requests, 0.0, 2.0, rate=5.0))  # each request finds the one before it gone
    assert told["failed"] == 0
    assert told["requests"] > 3  # type: ignore[operator]


async def test_refusals_and_broken_connections_count_as_failed(requests: str) -> None:
    async def refuses(number: int) -> bytes:
        return b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n" if number % 2 else OK

    async with server(refuses) as port:
        told = await perform(Job(port, requests, 0.0, 0.3, rate=100.0))
    assert 0 < told["failed"] < told["requests"]  # type: ignore[operator]


def test_a_server_that_says_something_else_is_found_out() -> None:
    right = [Best("cat", 0.8), Best("dog", 0.6)]
    compare("it", [Best("cat", 0.801), Best("dog", 0.6)], right)
    for wrong in ([Best("dog", 0.8), Best("dog", 0.6)], [Best("cat", 0.8), Best("dog", 0.5)]):
        with pytest.raises(WrongAnswer, match="it says"):
            compare("it", wrong, right)


def test_every_server_gets_the_same_image_and_its_answer_is_found() -> None:
    said = {"predictions": [{"label": "cat", "index": 0, "probability": 0.5}]}
    bodies: dict[str, object] = {
        "ours": {"results": [said]},
        "litserve": said,
        "bentoml": [said],
        "mlserver": {"outputs": [{"data": [json.dumps(said)]}]},
        "ray": said,
    }
    assert bodies.keys() == STYLES.keys()
    for name, style in STYLES.items():
        assert best(style, json.dumps(bodies[name])) == Best("cat", 0.5)
        head, _, body = request(style, b"image").partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert body == b"image" or b"aW1hZ2U=" in body

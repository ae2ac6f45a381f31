"""A server stops with notice and without resets; it ends if its engine hangs, but not if the process was frozen."""

import http.client
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx2 as httpx
import pytest

from adapters_store import open_store
from service.settings import Settings
from tests.service.adapters import Made, make
from tests.service.asking import PNG, answer, predict, raw
from tests.service.gate import until
from tests.service.hung_server import FOLDER
from tests.service.live import PATIENCE, Live, serving
from tests.service.processes import running
from tests.service.wire import read, request, send

starts_processes = pytest.mark.timeout(400)  # each imports torch, which takes its time on a busy machine


@pytest.fixture
def leaving(made: dict[str, Made], tmp_path: Path) -> Iterator[Live]:
    """A server that gives very long notice."""
    settings = Settings(store=str(tmp_path / "store.db"), notice_seconds=1000.0, request_seconds=PATIENCE)
    with serving(settings, {"cats": made["cats"]}) as live:
        yield live


def test_after_sigterm_requests_are_answered_while_readiness_says_no(leaving: Live) -> None:
    with leaving.connect() as kept:
        send(kept, request("GET", "/health/ready"))
        assert (read(kept).status, leaving.service.readiness.stopping) == (200, False)
        leaving.server.handle_exit(signal.SIGTERM, None)
        send(kept, request("GET", "/health/ready"))
        reply = read(kept)
        assert (reply.status, reply.code, reply.closed) == (503, "not_ready", True)
    response = predict(leaving, "cats", raw())  # on a new connection
    assert (answer(response).task, response.headers["connection"]) == ("cats", "close")
    leaving.server.handle_exit(signal.SIGTERM, None)  # once more: it ends now
    until(lambda: not leaving.server.server_state.connections)


def test_ctrl_c_gives_no_notice(leaving: Live) -> None:
    leaving.server.handle_exit(signal.SIGINT, None)
    assert leaving.server.should_exit


def _ask_until_told_to_stop(port: int) -> tuple[int, int]:
    """Ask on one connection after the other until none is taken.

    Returns:
        The number of answers, and of new connections that were reset before their first answer.
    """
    answered = unmet = 0
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.connect()
        except (ConnectionRefusedError, ConnectionResetError):  # the kernel resets a handshake that meets the close
            return answered, unmet
        with closing(connection):
            try:
                answered += _ask_until_the_last(connection)
            except ConnectionResetError:
                unmet += 1


def _ask_until_the_last(connection: http.client.HTTPConnection) -> int:
    """The number of answers up to the one that says that it is the last; a reset after the first is a failure."""
    answered, last = 0, False
    while not last:
        try:
            connection.request("GET", "/health/live")
            response = connection.getresponse()
            response.read()
        except ConnectionResetError as error:
            if answered:
                raise AssertionError("a kept connection was reset") from error
            raise
        answered += 1
        last = response.getheader("connection") == "close"
    return answered


@pytest.fixture
def quick_turns() -> Iterator[None]:
    """The clients share the interpreter with the server, which must not wait for them as it closes its listener."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("quick_turns")
@pytest.mark.parametrize("notice", [0.0, 0.3])
def test_nothing_is_reset_when_the_server_stops_under_load(
    made: dict[str, Made], tmp_path: Path, notice: float
) -> None:
    settings = Settings(store=str(tmp_path / "store.db"), notice_seconds=notice)
    with serving(settings, {"cats": made["cats"]}) as live, ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(_ask_until_told_to_stop, live.port) for _ in range(8)]
        until(lambda: live.server.server_state.total_requests > 200)
        live.server.handle_exit(signal.SIGTERM, None)
        answers, unmet = zip(*(client.result(PATIENCE) for client in clients), strict=True)
    assert all(answers)
    assert sum(unmet) <= 1  # a connection may meet the instant between the last accept and the close


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a server whose engine hangs, with a store in it."""
    with closing(open_store(str(tmp_path / "store.db"))) as opened:
        opened.publish("cats", make(70).data)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return tmp_path


@starts_processes
def test_an_engine_that_hangs_fails_its_waiters_and_ends_the_process_which_says_why(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    store = str(folder / "store.db")
    with running("tests.service.hung_server", store=store, stall_seconds="0.5", request_seconds="50") as (
        server,
        address,
    ):
        reply = httpx.post(f"{address}/v1/tasks/cats/predict", content=PNG, timeout=PATIENCE)
        assert (reply.status_code, reply.json()["code"]) == (503, "engine_down")
        start = time.monotonic()
        assert server.wait(PATIENCE) == 3
        assert time.monotonic() - start < 30
    assert "the server must end: TimeoutError: a batch is not done" in capfd.readouterr().err


@starts_processes
def test_time_in_which_the_process_was_frozen_does_not_count_as_a_hang(folder: Path) -> None:
    settings = {"store": str(folder / "store.db"), "stall_seconds": "3", "request_seconds": "50"}
    with running("tests.service.hung_server", **settings) as (server, address), ThreadPoolExecutor(1) as pool:
        asked = pool.submit(httpx.post, f"{address}/v1/tasks/cats/predict", content=PNG, timeout=PATIENCE)
        until((folder / "reached").exists)
        server.send_signal(signal.SIGSTOP)
        time.sleep(4)  # the pause itself
        server.send_signal(signal.SIGCONT)
        time.sleep(0.5)  # for the watch to look
        (folder / "go").touch()
        assert asked.result().status_code == 200

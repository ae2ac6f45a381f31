"""The server as a process: it starts or gives the reason, drains on SIGTERM, and ends when its engine is lost."""

import gc
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from subprocess import PIPE, Popen
from types import SimpleNamespace

import httpx2 as httpx
import pytest

from adapters_store import open_store
from service.__main__ import run
from service.engine import Engine
from service.process import server
from service.process.server import listen
from service.readiness import Readiness
from service.service import Service
from service.settings import Settings
from tests.service.adapters import bundled_backbone, make
from tests.service.asking import PNG
from tests.service.gate import until
from tests.service.live import PATIENCE
from tests.service.processes import ROOT, running
from tests.service.wire import request

starts_processes = pytest.mark.timeout(400)  # each imports torch, which takes its time on a busy machine
Environment = Callable[[dict[str, str]], None]


@pytest.fixture
def store(tmp_path: Path) -> str:
    path = str(tmp_path / "store.db")
    with closing(open_store(path)) as opened:
        opened.publish("cats", make(70).data)
    return path


@starts_processes
def test_a_killed_server_comes_back_whole_and_a_stopped_one_finishes_what_is_under_way(store: str) -> None:
    upload = make(71)
    with running("service", store=store) as (server, address):
        assert httpx.put(f"{address}/v1/tasks/dogs", content=upload.data, timeout=PATIENCE).status_code == 201
        server.send_signal(signal.SIGKILL)
        server.wait(PATIENCE)
    with running("service", store=store, notice_seconds="0.5") as (server, address):
        assert httpx.get(f"{address}/v1/tasks/dogs").json()["sha256"] == upload.sha256
        _stop_with_work_under_way(server, httpx.URL(address))
        assert server.wait(PATIENCE) == 0


@starts_processes
def test_a_server_of_the_bundled_backbone_imports_no_model_zoo(tmp_path: Path) -> None:
    script = f"""
import sys
from service.process.server import build
from service.settings import Settings
build(Settings(store={str(tmp_path / "store.db")!r}))
heavy = {{"timm", "torchvision", "torch._dynamo", "sympy", "scipy", "onnx"}} & set(sys.modules)
sys.exit(f"imported: {{heavy}}" if heavy else 0)
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@starts_processes
def test_the_time_until_a_server_is_ready_counts_from_its_start(store: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MIMI_")}
    command, settings = [sys.executable, "-m", "service"], {"MIMI_STORE": store, "MIMI_PORT": "0"}
    begun = time.monotonic()
    with Popen(command, env=environment | settings, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = re.search(r"ready in (\S+) s", process.stdout.readline())
        took = time.monotonic() - begun
        process.terminate()
    assert said is not None
    assert took / 2 < float(said[1]) < took + 0.1


def test_what_lives_as_long_as_the_server_is_not_looked_through_again(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen: list[int] = []

    class Started:
        def __init__(self, service: object, **timing: object) -> None: ...

        def run(self, *, sockets: list[socket.socket]) -> None:
            frozen.append(gc.get_freeze_count())

    monkeypatch.setattr(server, "Server", Started)
    with closing(listen("127.0.0.1", 0)) as listener:
        try:
            assert server.serve(SimpleNamespace(readiness=Readiness()), [listener]) == 0  # type: ignore[arg-type]
        finally:
            gc.unfreeze()
    assert frozen[0] > 10_000


def _stop_with_work_under_way(server: Popen[str], url: httpx.URL) -> None:
    head = request("POST", "/v1/tasks/cats/predict", f"Content-Length: {len(PNG)}")
    with socket.create_connection((url.host, url.port or 80), timeout=PATIENCE) as under_way:
        under_way.sendall(head + PNG[:-1])
        assert httpx.get(url.join("/health/ready")).status_code == 200
        server.send_signal(signal.SIGTERM)
        _refuses(url)
        under_way.sendall(PNG[-1:])
        assert under_way.recv(12) == b"HTTP/1.1 200"


def _refuses(url: httpx.URL) -> None:
    """Wait until new connections are refused."""
    while True:
        try:
            socket.create_connection((url.host, url.port or 80), timeout=PATIENCE).close()
        except ConnectionError:  # refused, or reset while the server was closing
            return


@starts_processes
def test_a_lost_engine_answers_its_waiters_and_ends_the_process(store: str) -> None:
    with running("tests.service.dying_server", store=store) as (server, address), ThreadPoolExecutor(4) as pool:
        url = f"{address}/v1/tasks/cats/predict"
        jobs = [pool.submit(httpx.post, url, content=PNG, timeout=PATIENCE) for _ in range(4)]
        for job in jobs:
            try:
                reply = job.result()
            except httpx.TransportError:
                continue  # it came when the process was ending already
            assert (reply.status_code, reply.json()["code"]) == (503, "engine_down")
        assert server.wait(PATIENCE) == 3


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Sets MIMI_ variables, with a store of its own and a free port unless said."""

    def set_all(settings: dict[str, str]) -> None:
        for name, value in {"store": str(tmp_path / "store.db"), "port": "0", **settings}.items():
            monkeypatch.setenv(f"MIMI_{name.upper()}", value)

    return set_all


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        ({"host": "0.0.0.0"}, 2, "needs keys"),
        ({"prot": "1"}, 2, "there is no such setting"),
        ({"config": "/nowhere.toml"}, 2, "/nowhere.toml: No such file"),
        ({"keys_file": "/nowhere.toml"}, 2, "/nowhere.toml: No such file"),
        ({"backbone": "no-such-network"}, 1, "no-such-network"),
        ({"store": "/proc/nowhere/store.db"}, 2, "refusing to start"),
        ({"connections": "999999999"}, 2, "need 1000001535 open files"),
        ({"weights": "/nowhere.safetensors"}, 1, "/nowhere.safetensors"),
    ],
)
def test_what_cannot_start_says_why_in_one_line(
    environment: Environment, capsys: pytest.CaptureFixture[str], settings: dict[str, str], code: int, said: str
) -> None:
    environment(settings)
    assert run() == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err


def test_options_are_refused_where_none_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--port", "9000"]) == 2
    assert "mimi serve --help" in capsys.readouterr().err


def test_a_taken_port_is_named() -> None:
    with closing(listen("127.0.0.1", 0)) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1:{port}"):
            listen("127.0.0.1", port)


@starts_processes
def test_onnx_runtime_answers_where_the_settings_choose_it(store: str) -> None:
    with running("service", store=store, engine="onnx", precision="int8") as (_, address):
        answer = httpx.post(f"{address}/v1/tasks/cats/predict", content=PNG, timeout=PATIENCE)
        assert answer.status_code == 200
        assert len(answer.json()["results"][0]["predictions"]) == 4


def test_of_two_servers_that_start_at_once_one_says_that_the_port_is_taken(tmp_path: Path) -> None:
    settings = Settings(store=str(tmp_path / "store.db"))
    with closing(listen("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with closing(listen("127.0.0.1", port)) as second:  # which may bind, too, while the first does not listen yet
            first.listen()
            its = settings.model_copy(update={"port": port})
            service = Service(its, Engine(bundled_backbone()), open_store(settings.store))
            with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
                server.Server(service, started=0.0).run(sockets=[second])


@starts_processes
def test_nobody_has_to_read_what_is_printed(store: str, capfd: pytest.CaptureFixture[str]) -> None:
    with closing(listen("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIMI_")}
    environment = {**kept, "MIMI_STORE": store, "MIMI_PORT": str(port), "MIMI_NOTICE_SECONDS": "0"}
    with Popen([sys.executable, "-m", "service"], env=environment, cwd=ROOT, stdout=PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        until(lambda: _answers(port), seconds=300)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert "BrokenPipe" not in capfd.readouterr().err


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/live").status_code == 200
    except httpx.TransportError:
        return False

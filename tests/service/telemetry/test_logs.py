"""The log of a real server: which request a line is about, the access log, the form, and warnings of libraries."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.service.adapters import make
from tests.service.asking import PNG
from tests.service.live import PATIENCE

pytestmark = pytest.mark.timeout(400)  # each starts a process

ONE = make(90)


@dataclass(frozen=True)
class Logged:
    """A running server, and its log."""

    address: str
    path: Path

    def lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines()


@contextmanager
def logged(folder: Path, **settings: str) -> Iterator[Logged]:
    """A server whose standard error goes into a file; when the block is left, it has ended and everything is there."""
    path = folder / "log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MIMI_")}
    wanted = {"store": str(folder / "store.db"), "port": "0", "kernels": "off", **settings}
    environment |= {f"MIMI_{name.upper()}": value for name, value in wanted.items()}
    command = [sys.executable, "-m", "service"]
    with path.open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert server.stdout is not None
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found
        yield Logged(found.group(), path)
        server.terminate()
        server.wait(PATIENCE)
    finally:
        server.kill()
        server.communicate()


def test_json_lines_name_the_request_that_they_are_about(tmp_path: Path) -> None:
    with logged(tmp_path, log_format="json", access_log="on") as server, httpx.Client(timeout=PATIENCE) as client:
        named = {"X-Request-Id": "shop-42/a"}
        assert client.put(f"{server.address}/v1/tasks/cats", content=ONE.data, headers=named).status_code == 201
        path = f"{server.address}/v1/tasks/c%0Ats/predict?top_k=1&secret=1"
        assert client.post(path, content=PNG, headers={"X-Request-Id": "shop-43"}).status_code == 422
    lines = [json.loads(line) for line in server.lines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    about = [line for line in lines if line.get("request_id") == "shop-42/a"]
    assert [line["logger"].rpartition(".")[2] for line in about] == ["common", "uploads", "access_log"]
    assert "published task cats" in about[1]["message"]
    (refused,) = [line for line in lines if line.get("request_id") == "shop-43"]
    assert (refused["method"], refused["path"], refused["status"]) == ("POST", "/v1/tasks/c%0Ats/predict", 422)
    assert refused["bytes"] > 0
    assert "secret" not in json.dumps(refused)


def test_text_lines_name_the_request_and_without_the_setting_there_is_no_access_log(tmp_path: Path) -> None:
    with logged(tmp_path) as server:
        named = {"X-Request-Id": "shop-42"}
        httpx.put(f"{server.address}/v1/tasks/cats", content=ONE.data, headers=named, timeout=PATIENCE)
    _, line = [line for line in server.lines() if "shop-42" in line]
    assert re.fullmatch(r"\S+ \S+ INFO service\.tasks\.uploads: published task cats version 1, .* \[shop-42\]", line)


def test_warnings_of_libraries_are_lines_of_the_log() -> None:
    script = """
import logging, threading, warnings
from service.telemetry import logs
from service.settings import Settings
logs.configure(Settings())
logs.request_name.set("shop-42")
job = threading.Thread(target=logs.carried(lambda: warnings.warn("100% odd", UserWarning)))
job.start()
job.join()
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\S+ \S+ WARNING py\.warnings: \S+ UserWarning: 100% odd \[shop-42\]\n", ended.stderr)

"""A real Prometheus as a process, with the shipped configuration; only address, key and waiting times differ."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import yaml

from tests.deploy.configuration import PROMETHEUS, RULES, read
from tests.service.live import PATIENCE


class Prometheus:
    """Asks a running Prometheus."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def query(self, query: str) -> list[dict[str, Any]]:
        """The series that a query gives now."""
        answer = self._client.get("/api/v1/query", params={"query": query}).json()
        assert answer["status"] == "success", (query, answer)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def value(self, query: str) -> float | None:
        """The one value that a query gives now, if there is one."""
        found = self.query(query)
        return float(found[0]["value"][1]) if found else None

    def get(self, path: str) -> Any:  # noqa: ANN401
        """The answer of its API under a path."""
        return self._client.get(path).json()["data"]

    def until(self, condition: Callable[["Prometheus"], bool]) -> None:
        """Wait until the next scrapes bring the expected series."""
        end = time.monotonic() + PATIENCE
        while not condition(self):
            assert time.monotonic() < end, "it never came true"
            time.sleep(0.1)  # between questions to another process, which tells nobody when it has scraped


@contextmanager
def scraping(address: str, key: str, folder: Path, *features: str) -> Iterator[Prometheus]:
    """A Prometheus that reads the server at `address` (host:port) once a second, and keeps its data in `folder`."""
    config, port = _config(address, key, folder), _free_port()
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--enable-feature={feature}" for feature in features]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
            _wait(client, process, folder / "log")
            yield Prometheus(client)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _config(address: str, key: str, folder: Path) -> Path:
    config = read(PROMETHEUS)
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(RULES)]
    (job,) = config["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [address]}]
    secret = folder / "metrics_key"
    secret.write_text(key, encoding="utf-8")
    job["authorization"]["credentials_file"] = str(secret)
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return file


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port: int = taken.getsockname()[1]
        return port


def _wait(client: httpx.Client, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        running = process.poll() is None and time.monotonic() < end
        assert running, log.read_text(encoding="utf-8")
        try:
            if client.get("/-/ready").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)

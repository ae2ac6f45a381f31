"""A rolling restart behind nginx: two servers over one store, stopped one after the other under load. Nothing fails.

    python -m tests.stress rolling --json rolling.json

It needs nginx, with the settings of docs/deploying.md. A request that a stopping server refuses goes to the other one,
and nginx closes an idle connection before the server does.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import context, write_json
from benchmarks.serving import load
from tests.attacks import images
from tests.attacks.requests import PREDICT, request
from tests.stress import traffic
from tests.stress.wire import PREDICT_KEY, exchange_now, started, told, write_keys

PACKAGES = ("fastapi", "uvicorn")
START_SECONDS = 120.0
_SETTLE_SECONDS = 1.0
_READY = request("GET", "/health/ready")
_OK = 200
# `max_fails=0`: else a busy answer of the only server left would make nginx refuse everybody with 502 for a while.
# `proxy_next_upstream` names what may go to the other server: POST too, since a prediction changes nothing.
NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log warn; worker_processes 1;
events {{ worker_connections 512; }}
http {{
  access_log off; client_max_body_size 50m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream mimi {{
    server 127.0.0.1:{first} max_fails=0; server 127.0.0.1:{second} max_fails=0;
    keepalive 16; keepalive_timeout 60s;
  }}
  server {{
    listen 127.0.0.1:{front};
    location / {{
      proxy_pass http://mimi; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_next_upstream error timeout http_503 non_idempotent; proxy_next_upstream_tries 2;
    }}
  }}
}}
"""


@dataclass(slots=True)
class Replica:
    """A server that can be started again on the same port."""

    folder: Path
    port: int
    notice: float
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start, and wait until it takes work."""
        options = ["--keys-file", str(write_keys(self.folder)), "--store", str(self.folder / "store.db")]
        options += ["--notice-seconds", str(self.notice), "--idle-seconds", "75", "--precision", "fp32"]
        with (self.folder / f"{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mimi", "serve", "--host", "127.0.0.1", "--port", str(self.port), *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env={name: value for name, value in os.environ.items() if not name.startswith("MIMI_")},
            )  # fmt: skip
        until_ready(self.port)

    def stop(self) -> dict[str, float]:
        """SIGTERM; its exit status and how long it took."""
        start = time.monotonic()
        if self.process is None:
            return {}
        self.process.terminate()
        return {"exit": self.process.wait(60), "stopped_s": time.monotonic() - start}

    def kill(self) -> None:
        """For the end of a run."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def until_ready(port: int) -> None:
    """Wait for a server, or for one behind a proxy.

    Raises:
        TimeoutError: it is not ready in time.
    """
    end = time.monotonic() + START_SECONDS
    while exchange_now(port, _READY, seconds=5.0).status != _OK:
        if time.monotonic() > end:
            raise TimeoutError(f"nothing is ready on port {port}")
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def proxied(folder: Path, front: int, first: int, second: int) -> Iterator[None]:
    """nginx in front of two ports."""
    path = folder / "nginx.conf"
    path.write_text(NGINX.format(folder=folder, front=front, first=first, second=second), encoding="utf-8")
    with subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(path)]) as nginx:
        try:
            until_ready(front)
            yield
        finally:
            nginx.terminate()


def run(rounds: int = 1, rate: float = 20.0, notice: float = 2.0) -> dict[str, Any]:
    """Restart each server `rounds` times under load; everything measured as JSON values."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, (front, *ports) = Path(name), free_ports(3)
        replicas = [Replica(folder, port, notice) for port in ports]
        for replica in replicas:
            stack.callback(replica.kill)
            replica.start()
        stack.enter_context(proxied(folder, front, ports[0], ports[1]))
        good = request("POST", PREDICT, images.small("JPEG"), "Content-Type: image/jpeg", key=PREDICT_KEY)
        load.save([good], folder / "good.requests")
        job = traffic.Job(front, str(folder / "good.requests"), rate, 3600.0)
        with started("tests.stress.traffic", traffic.as_json(job)) as process:
            time.sleep(_SETTLE_SECONDS)
            stops = [_restarted(replica) for _ in range(rounds) for replica in replicas]
            process.terminate()  # it writes its figures
            found = told(process)
    found.pop("answered_per_second")  # of an hour
    harm = found["failed"] + sum(stop["exit"] != 0 for stop in stops)
    return {**context(PACKAGES), "stops": stops, "good": found, "harm": harm}


def _restarted(replica: Replica) -> dict[str, float]:
    """Stop and start one server, and give nginx a moment to find it again."""
    stop, start = replica.stop(), time.monotonic()
    replica.start()
    time.sleep(_SETTLE_SECONDS)
    return {**stop, "started_s": time.monotonic() - start}


def main(arguments: Sequence[str]) -> int:
    """Run, write the JSON file, print it; 1 if a request failed."""
    parser = argparse.ArgumentParser(prog="tests.stress rolling", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--rounds", type=int, default=1, help="restarts of each server (default: 1)")
    parser.add_argument("--rate", type=float, default=20.0, help="good requests a second (default: 20)")
    options = parser.parse_args(arguments)
    result = run(options.rounds, options.rate)
    print(write_json(options.json, result))
    return int(result["harm"] != 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Servers as processes: started in a process group, ready when they answer, ended with all their children."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks.serving import model
from benchmarks.serving.asking import STYLES, Style
from benchmarks.serving.scene import Scene

ROOT = Path(__file__).parents[2]
_PATIENCE = 300.0  # seconds until the first answer: some bring up a whole cluster first
_GRACE = 15.0  # seconds to end when asked to


class NotStarted(Exception):
    """The server did not start; the message is the end of its log."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Settings of all servers: most images of a batch, and threads of a forward pass."""

    batch: int
    threads: int


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    port: int
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """CPU seconds of the process and of all its live children."""
        total = 0.0
        for process in [self.process, *self.process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total


def environment(scene: Scene, plan: Plan, port: int) -> dict[str, str]:
    """The environment of a server's process, or of the engine alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIMI_")}
    weights = {"MIMI_WEIGHTS": str(scene.weights)} if scene.weights else {}
    return {
        **kept,
        **weights,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": str(plan.threads),
        "MIMI_BACKBONE": scene.backbone,
        "MIMI_STORE": str(scene.folder / "store.db"),
        "MIMI_PORT": str(port),
        "MIMI_THREADS": str(plan.threads),
        "MIMI_BATCH_IMAGES": str(plan.batch),
        "MIMI_REQUEST_SECONDS": "60",
        "RAY_AUTH_MODE": "disabled",  # its cluster would write a token into the home directory
        model.SCENE: str(scene.folder / "scene.json"),
        model.PORT: str(port),
        model.BATCH: str(plan.batch),
        model.THREADS: str(plan.threads),
    }


@contextmanager
def running(
    name: str, scene: Scene, plan: Plan, *, python: str = sys.executable, core: int | None = None
) -> Iterator[Running]:
    """A server over a scene, ended at the end; bound to one core, if `core` names it.

    Raises:
        NotStarted: it ended, or did not answer in time.
    """
    port = free_port()
    log = scene.folder / f"{name}-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, *command(name)],
            env=environment(scene, plan, port),
            cwd=scene.folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    if core is not None:
        os.sched_setaffinity(process.pid, {core})  # before it has begun to start threads
    try:
        await_ready(process, log, lambda: _answers(port, STYLES[name], scene.images[0]))
        yield Running(port, psutil.Process(process.pid))
    finally:
        end(process)


def command(name: str) -> Sequence[str]:
    """The command: the real `mimi serve`, in the precision of its peers, or a peer's module."""
    if name == "ours":
        return ["-m", "mimi", "serve", "--precision", "fp32"]
    return ["-m", f"benchmarks.serving.peers.{name}"]


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def end(process: "subprocess.Popen[bytes]") -> None:
    """Ask a process to end, then kill it and its children."""
    children = []
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    for child in [*children, process]:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait()
    psutil.wait_procs(children, _GRACE)


def await_ready(process: "subprocess.Popen[bytes]", log: Path, ready: Callable[[], bool]) -> None:
    """Wait until a server is ready.

    Raises:
        NotStarted: its process ended, or took too long; the message is the end of its log.
    """
    end_of_patience = time.monotonic() + _PATIENCE
    while not ready():
        if process.poll() is not None or time.monotonic() > end_of_patience:
            raise NotStarted(log.read_text(encoding="utf-8", errors="replace")[-2000:].strip() or "it said nothing")
        time.sleep(0.2)


def _answers(port: int, style: Style, image: bytes) -> bool:
    url, headers = f"http://127.0.0.1:{port}{style.path}", {"Content-Type": style.media_type}
    ask = urllib.request.Request(url, data=style.body(image), headers=headers)
    try:
        with urllib.request.urlopen(ask, timeout=30):
            return True
    except (OSError, urllib.error.HTTPError):
        return False

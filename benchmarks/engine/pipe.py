"""The parent's side of the pipe: starts a worker and drives it call by call; one that hangs is ended.

Errors:

    WorkerError           the worker ended, hung, or failed in a call
    └── WorkerAbsent      what it measures is not installed here
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from benchmarks.engine.job import Job

ROOT = Path(__file__).resolve().parents[2]
BUILD_SECONDS, CALL_SECONDS = 1800.0, 600.0  # until a worker is given up: compiling takes minutes on a small machine
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
QUIET_LIBRARIES = {"TRANSFORMERS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


class WorkerError(Exception):
    """A worker ended, hung, or failed in a call."""


class WorkerAbsent(WorkerError):
    """What a worker measures is not installed."""


class Worker:
    """A contestant in a process of its own. Ready when constructed; ended by `close`.

    Attributes:
        calls: what it can be told to compute.
        facts, versions: what it told of itself.
    """

    def __init__(self, job: Job, *, python: str = sys.executable, environment: Mapping[str, str] | None = None) -> None:
        """Start it and wait until it is built.

        Raises:
            WorkerAbsent: what it needs is not installed.
            WorkerError: it cannot be built.
        """
        command = [python, "-m", "benchmarks.engine.worker", job.to_json()]
        threads = dict.fromkeys(THREADS, str(job.threads))
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **threads, **QUIET_LIBRARIES, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        try:
            ready = self._reply(BUILD_SECONDS)
        except BaseException:
            self.close()
            raise
        self.calls: list[str] = ready["calls"]
        self.facts: dict[str, Any] = ready["facts"]
        self.versions: dict[str, str] = ready["versions"]

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def time(self, call: str, *, warm: int = 0) -> tuple[float, float]:
        """Seconds of one call after `warm` untimed ones: on the wall, and on the worker's cores."""
        reply = self._order({"do": "time", "call": call, "warm": str(warm)})
        return reply["seconds"], reply["cpu_seconds"]

    def answer(self, call: str) -> np.ndarray:
        """What a call computes."""
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "answer.npy")
            self._order({"do": "answer", "call": call, "file": file})
            array: np.ndarray = np.load(file)
            return array

    def tell(self, call: str) -> dict[str, Any]:
        """What a call that returns JSON values returns."""
        told: dict[str, Any] = self._order({"do": "facts", "call": call})["facts"]
        return told

    def memory(self) -> dict[str, int]:
        """Bytes of the process, now and at most."""
        return self._order({"do": "memory"})

    def close(self) -> None:
        """End the process."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _order(self, order: Mapping[str, str]) -> dict[str, Any]:
        if self._process.stdin is None:
            raise WorkerError("the worker has no pipe")
        with suppress(BrokenPipeError):  # the reply says why
            print(json.dumps(order), file=self._process.stdin, flush=True)
        return self._reply(CALL_SECONDS)

    def _reply(self, seconds: float) -> dict[str, Any]:
        if self._process.stdout is None:
            raise WorkerError("the worker has no pipe")
        watchdog = threading.Timer(seconds, self._process.kill)
        watchdog.start()
        line = self._process.stdout.readline()
        watchdog.cancel()
        if not line:
            raise WorkerError(f"the worker ended or said nothing for {seconds:.0f} s: {self._last_words()}")
        reply: dict[str, Any] = json.loads(line)
        if "absent" in reply:
            raise WorkerAbsent(reply["absent"])
        if "failed" in reply:
            raise WorkerError(reply["failed"])
        return reply

    def _last_words(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-800:].strip() or "it left no message"

"""Several processes behind one port, each with its own engine; the kernel spreads connections (SO_REUSEPORT).

The first process serves nobody. It starts workers, one after the other, starts one again that died, and passes signals
on. It computes nothing and has one thread, so that it can fork at any time.
"""

import ctypes
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from service.errors import SettingsError
from service.settings import Settings

logger = logging.getLogger(__name__)

_GPUS = Path("/proc/driver/nvidia/gpus")
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0  # seconds before a worker that died is started again
_STEADY_SECONDS = 60.0  # a worker that lived so long died of something new
_LOOK_SECONDS = 0.1
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_KILLED = 128  # and the signal's number: the exit status of a killed process, as shells have it


@dataclass(frozen=True, slots=True)
class Place:
    """One of the workers, and what it calls when it listens."""

    number: int
    on_listening: Callable[[], None]


Run = Callable[[Place], int]


@dataclass(slots=True)
class _Worker:
    """A worker's process, and when it began (monotonic seconds)."""

    number: int
    process: int = 0
    began: float = 0.0
    deaths: int = 0


def check(settings: Settings) -> None:
    """See that workers can share what they have to share.

    Raises:
        SettingsError: they cannot.
    """
    if settings.workers == 1:
        return
    if sys.platform != "linux":
        raise SettingsError("workers: several of them need Linux")
    if settings.store.startswith("memory:"):
        raise SettingsError("store: a store in memory belongs to one process; give workers another one")
    if settings.grpc_port == 0:
        raise SettingsError("grpc_port: workers share a port, so that it must have a number")


def threads_of(settings: Settings) -> int:
    """Threads of one worker's forward pass: its share of the cores, unless they are set."""
    return settings.threads or max(1, len(os.sched_getaffinity(0)) // settings.workers)


def supervise(workers: int, run: Run) -> int:
    """Keep so many workers running until a signal; returns the exit status of this process."""
    return _Supervisor(workers, run).run()


@dataclass(slots=True)
class _Supervisor:
    count: int
    run_worker: Run
    stopping: bool = False
    workers: list[_Worker] = field(default_factory=list)

    def run(self) -> int:
        for signal_ in _SIGNALS:
            signal.signal(signal_, self._pass_on)
        for number in range(self.count):
            worker = _Worker(number)
            self.workers.append(worker)
            if not self._start(worker):
                return self._give_up(worker)
        while any(worker.process for worker in self.workers):
            self._wait_for_one()
        return 0

    def _start(self, worker: _Worker) -> bool:
        """Fork a worker; returns whether it came to listen."""
        reader, writer = os.pipe()
        supervisor = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # none may come before the worker is known here
        worker.process = os.fork()
        if not worker.process:
            os.close(reader)
            _be_worker(supervisor, worker.number)
            os._exit(_status_of(lambda: self.run_worker(Place(worker.number, lambda: _say_ready(writer)))))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.close(writer)
        worker.began = time.monotonic()
        listens = bool(os.read(reader, 1))
        os.close(reader)
        return listens or self.stopping

    def _give_up(self, failed: _Worker) -> int:
        """End the workers that run, because one could not start; returns its exit status."""
        status = os.waitstatus_to_exitcode(os.waitpid(failed.process, 0)[1])
        failed.process = 0
        self._pass_on(signal.SIGTERM, None)
        for worker in self.workers:
            if worker.process:
                os.waitpid(worker.process, 0)
        return status if status >= 0 else _KILLED - status

    def _wait_for_one(self) -> None:
        process, status = os.wait()
        worker = next((each for each in self.workers if each.process == process), None)
        if worker is None:
            return
        worker.process = 0
        if self.stopping:
            return
        code = os.waitstatus_to_exitcode(status)
        worker.deaths = worker.deaths + 1 if time.monotonic() - worker.began < _STEADY_SECONDS else 1
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (worker.deaths - 1))
        logger.warning("worker %d ended with status %d: starting it again in %.1f s", worker.number, code, pause)
        end = time.monotonic() + pause
        while not self.stopping and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
        if not self.stopping:
            self._start(worker)

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        self.stopping = True
        for worker in self.workers:
            if worker.process:
                os.kill(worker.process, number)


def _be_worker(supervisor: int, number: int) -> None:
    """In a new worker: take signals for oneself, end with the supervisor, and take a GPU of one's own."""
    os.setpgid(0, 0)  # Ctrl-C of a terminal goes to the supervisor alone
    for signal_ in _SIGNALS:
        signal.signal(signal_, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != supervisor:  # it died before that call
        os._exit(0)
    if gpus := visible_gpus():
        os.environ[_VISIBLE] = gpus[number % len(gpus)]


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if (named := os.environ.get(_VISIBLE)) is not None:
        return [each.strip() for each in named.split(",") if each.strip()]
    return [str(index) for index, _ in enumerate(sorted(_GPUS.iterdir()))] if _GPUS.is_dir() else []


def _say_ready(writer: int) -> None:
    os.write(writer, b"1")
    os.close(writer)


def _status_of(run: Callable[[], int]) -> int:
    """The exit status of a worker, whose process ends without Python's own ceremony."""
    try:
        status = run()
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status

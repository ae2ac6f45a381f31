"""Jobs for workers, and the parent's side of the pipe: it starts a worker and drives it call by call.

A job is plain values on a worker's command line. Its folder (see material.py) holds the weights, images and adapters
that all systems share. This module needs numpy and the standard library alone, because workers of peers import it in
environments of their own.

Errors:

    WorkerError           the worker ended, hung, or failed in a call
    └── WorkerAbsent      the library that it measures is not installed here
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

Call = Callable[[], object]  # computes once; returns an array, a tensor, or what `as_array` makes one of
# Files of the folder: two networks, images, and weights that our workers write for peers.
WEIGHTS, NANO_WEIGHTS, VIT_WEIGHTS = "weights.safetensors", "nano.safetensors", "vit.safetensors"
IMAGES = "images.npy"
SIDE, NANO_SIDE = 224, 64  # of images, in pixels
HEADS, VIT_ADAPTERS = "heads.npz", "vit_adapters.npz"
SWIN, VIT = "swin_tiny_patch4_window7_224", "vit_small_patch16_224"  # timm's names


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of the two networks. `QUICK` shows in little time that everything works; its figures claim nothing."""

    embed_dim: int
    depths: tuple[int, int, int, int]  # blocks of Swin's stages
    vit_depth: int  # blocks of the ViT

    @property
    def swin(self) -> dict[str, Any]:
        """As arguments of timm's Swin, and of Hugging Face's."""
        return {"embed_dim": self.embed_dim, "depths": list(self.depths)}

    @property
    def nano(self) -> dict[str, Any]:
        """Likewise, of a Swin of the bundled backbone's shape."""
        shape = {"img_size": NANO_SIDE, "window_size": 4, "embed_dim": self.embed_dim // 2, "depths": list(self.depths)}
        return {
            **shape,
            "num_heads": (2, 4, 8, 16),
            "pretrained_cfg_overlay": {"input_size": (3, NANO_SIDE, NANO_SIDE)},
        }

    @property
    def stages(self) -> list[int]:
        """First site of each of Swin's stages."""
        return [2 * sum(self.depths[:stage]) for stage in range(len(self.depths))]


FULL, QUICK = Sizes(96, (2, 2, 6, 2), 12), Sizes(24, (2, 2, 2, 2), 1)


@dataclass(frozen=True, slots=True)
class Job:
    """The instructions for one worker.

    Attributes:
        builder: `package.module:function`; the function makes the calls from this job.
        folder: the shared material.
        threads: for everything that computes.
        quick: whether the networks are the small ones.
        options: for the builder, as JSON values.
    """

    builder: str
    folder: str
    threads: int
    quick: bool = False
    options: dict[str, object] = field(default_factory=dict)

    @property
    def sizes(self) -> Sizes:
        """Sizes of the networks."""
        return QUICK if self.quick else FULL

    def path(self, name: str) -> Path:
        """A file of the shared material."""
        return Path(self.folder) / name

    @property
    def nano(self) -> bool:
        """Whether the Swin is one of the bundled backbone's shape, instead of Swin-T."""
        return self.text("network", "swin") == "nano"

    @property
    def side(self) -> int:
        """Height and width of images, in pixels."""
        return NANO_SIDE if self.nano else SIDE

    @property
    def passes(self) -> int:
        """Forward passes in a call that is timed."""
        return self.number("passes") if "passes" in self.options else 1

    def images(self, count: int | None = None, *, name: str = IMAGES) -> np.ndarray:
        """The first `count` images: float32 (B, 3, H, W), normalised."""
        return np.ascontiguousarray(np.load(self.path(name))[:count, :, : self.side, : self.side])

    def number(self, option: str) -> int:
        """An option that must be an integer."""
        value = self.options[option]
        if not isinstance(value, int):
            raise TypeError(f"{option} must be an integer, not {value!r}")
        return value

    def text(self, option: str, default: str) -> str:
        """An option that must be a string."""
        value = self.options.get(option, default)
        if not isinstance(value, str):
            raise TypeError(f"{option} must be a string, not {value!r}")
        return value

    def to_json(self) -> str:
        """The job as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """The job of a line."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Calls:
    """The result of a builder: calls by name, and facts about them (bytes, settings, FLOPs)."""

    calls: Mapping[str, Call]
    facts: Mapping[str, object] = field(default_factory=dict)


def repeated(call: Call, passes: int) -> Call:
    """A call that makes `call` so many times: a single short one would be lost in the noise."""

    def all_of_them() -> object:
        for _ in range(passes):
            answer = call()
        return answer

    return all_of_them


def as_array(value: object) -> np.ndarray:
    """An array of an array, of a torch tensor (which has `detach`), or of a list of them, one for each row."""
    if isinstance(value, list):
        return np.stack([as_array(item) for item in value])
    detach = getattr(value, "detach", None)
    return np.asarray(detach().cpu().float().numpy() if detach else value)


ROOT = Path(__file__).resolve().parents[2]
BUILD_SECONDS, CALL_SECONDS = 1800.0, 600.0  # until a worker is given up: compiling takes minutes on a small machine
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
QUIET_LIBRARIES = {"TRANSFORMERS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


class WorkerError(Exception):
    """A worker ended, hung, or failed in a call."""


class WorkerAbsent(WorkerError):
    """The library that a worker measures is not installed."""


class Worker:
    """One system in a process of its own. It is ready when constructed; `close` ends it.

    Attributes:
        calls: names of its calls.
        facts, versions: about itself.
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
        """The process number."""
        return self._process.pid

    def time(self, call: str, *, warm: int = 0) -> tuple[float, float]:
        """Seconds of one call after `warm` untimed ones: on the wall, and on the worker's cores."""
        reply = self._order({"do": "time", "call": call, "warm": str(warm)})
        return reply["seconds"], reply["cpu_seconds"]

    def answer(self, call: str) -> np.ndarray:
        """The array that a call computes."""
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "answer.npy")
            self._order({"do": "answer", "call": call, "file": file})
            array: np.ndarray = np.load(file)
            return array

    def tell(self, call: str) -> dict[str, Any]:
        """The JSON values that a call returns."""
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

"""Everything that needs a CUDA device, in one run of at most nine minutes, as one JSON file.

    make gpu                                                   # on a machine with a CUDA device
    python -m benchmarks gpu --json gpu.json --device cpu      # a rehearsal on any machine: smaller, same steps

Each step is a process of its own with a time limit. If it fails or takes too long, this is noted, and the next one
runs. The steps need no web stack. A step whose package is missing (pytest, say) is noted with the reason.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from adapters_store import unpack
from benchmarks.measure import context, write_json
from training.progress import PROGRESS

PACKAGES = ("torch", "timm", "numpy", "safetensors")
CUDA_TESTS = ("tests/service/engine/padded", "tests/training/test_frozen.py", "tests/training/test_parallel.py")
RESUMED_EPOCHS = 2
SAME_LOGITS = 1e-2  # of max(1, max |logit|): a resumed run on CUDA repeats sums in another order
OUTPUT_TAIL = 2000  # characters
REHEARSAL_PATIENCE = 5  # times the limits, on a machine that may be slow


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that the steps run on.

    Attributes:
        device: cuda, or cpu for a rehearsal.
        folder: for what the steps write.
    """

    device: str
    folder: Path

    @property
    def rehearses(self) -> bool:
        """Whether the figures mean nothing, because there is no CUDA device."""
        return self.device != "cuda"


@dataclass(frozen=True, slots=True)
class Step:
    """One part of the run: its time limit in seconds, and what it returns as JSON values."""

    seconds: int
    run: Callable[[Machine, float], dict[str, Any]]


class StepError(Exception):
    """A step failed; the message is the end of its output."""


def python(arguments: Sequence[str], seconds: float) -> str:
    """Run this interpreter; returns its standard output.

    Raises:
        StepError: it failed, or took longer than `seconds`.
    """
    try:
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise StepError(f"took longer than {seconds:.0f} s") from None
    if done.returncode:
        raise StepError((done.stdout + done.stderr)[-OUTPUT_TAIL:])
    return done.stdout


def tests(machine: Machine, seconds: float) -> dict[str, Any]:
    """The tests that are skipped if there is no CUDA device, with their neighbours."""
    if find_spec("pytest") is None:
        raise StepError("pytest is not installed")
    output = python(["-m", "pytest", "-q", "-p", "no:randomly", *CUDA_TESTS], seconds)
    return {"summary": output.strip().splitlines()[-1]}


def engine(machine: Machine, seconds: float) -> dict[str, Any]:
    """The engine's CUDA figures; a rehearsal only takes the way to them."""
    path = machine.folder / "engine.json"
    python(["-m", "benchmarks", "engine", "--only", "cuda", "--force", "--quick", "--json", str(path)], seconds)
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {key: result[key] for key in result if key.startswith("cuda_") or key in ("reasons", "details", "intervals")}


def training(machine: Machine, seconds: float) -> dict[str, Any]:
    """Training throughput against a plain loop."""
    path, size = machine.folder / "training.json", ["--images", "64", "--views", "1", "--rounds", "6"]
    if not machine.rehearses:
        size = ["--images", "2048", "--views", "3", "--rounds", "7", "--workers", "8"]
    python(["-m", "benchmarks", "training", "--device", machine.device, *size, "--json", str(path)], seconds)
    scenes: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["scenes"]
    return scenes


def resume(machine: Machine, seconds: float) -> dict[str, Any]:
    """Train, stop after an epoch, go on: the golden logits are those of a run that was not stopped."""
    end = time.monotonic() + seconds
    whole = _train(machine, "whole", end)
    _train(machine, "stopped", end, stop_after=1)
    resumed = _train(machine, "stopped", end)
    logits, others = (unpack(path.read_bytes()).golden_logits for path in (whole, resumed))
    difference = float(abs(logits - others).max()) / max(1.0, float(abs(logits).max()))
    if not difference <= SAME_LOGITS:
        raise StepError(f"logits differ by {difference:.3g} of the largest, allowed are {SAME_LOGITS}")
    return {"largest_difference": difference, "allowed": SAME_LOGITS}


def _train(machine: Machine, name: str, end: float, *, stop_after: int | None = None) -> Path:
    """One size of adapters for digits; `stop_after` ends the process by force after so many epochs."""
    out = machine.folder / f"{name}.safetensors"
    options = ["--epochs", str(RESUMED_EPOCHS), "--target-sigma", "32", "--learning-rates", "0.002", "--seed", "0"]
    command = ["-m", "mimi", "train", "digits", "--device", machine.device, *options]
    command += ["--folder", str(machine.folder / name), "--out", str(out)]
    if stop_after is None:
        python(command, end - time.monotonic())
        return out
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and time.monotonic() < end and not _epochs_done(machine.folder / name, stop_after):
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    return out


def _epochs_done(folder: Path, count: int) -> bool:
    """Whether a run's progress file has so many lines, one for each epoch."""
    progress = folder / PROGRESS
    return progress.is_file() and len(progress.read_text(encoding="utf-8").splitlines()) >= count


def pretraining(machine: Machine, seconds: float) -> dict[str, Any]:
    """Two epochs of pretraining, over the digits: that it runs, and how fast."""
    epochs = 1 if machine.rehearses else 2
    start = time.monotonic()
    output = python(
        ["-m", "training.pretraining", "digits", "--folder", str(machine.folder / "pretraining"), "--epochs",
         str(epochs), "--batch-size", "128", "--warmup-epochs", "0", "--device", machine.device],
        seconds,
    )  # fmt: skip
    return {"epochs": epochs, "seconds": time.monotonic() - start, "output": output.strip().splitlines()[-1]}


STEPS: Mapping[str, Step] = {
    "tests": Step(120, tests),
    "engine": Step(150, engine),
    "training": Step(120, training),
    "resume": Step(90, resume),
    "pretraining": Step(60, pretraining),
}


def run(machine: Machine, steps: Mapping[str, Step] = STEPS) -> dict[str, Any]:
    """Every step's result, or the reason why it has none, and the seconds it took."""
    found: dict[str, Any] = {}
    for name, step in steps.items():
        print(f"gpu: {name} (at most {step.seconds} s)", file=sys.stderr, flush=True)
        start = time.monotonic()
        seconds = step.seconds * (REHEARSAL_PATIENCE if machine.rehearses else 1)
        try:
            outcome: dict[str, Any] = {"result": step.run(machine, seconds)}
        except StepError as error:
            outcome = {"failed": str(error)}
        found[name] = {**outcome, "seconds": round(time.monotonic() - start, 1)}
    return found


def main(arguments: Sequence[str]) -> int:
    """Run all steps and write the JSON file; 1 if a step failed, 2 if there is no such device."""
    parser = argparse.ArgumentParser(prog="benchmarks.gpu", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a rehearsal [cuda]")
    parser.add_argument("--only", nargs="+", choices=STEPS, default=list(STEPS), help="steps to run [all]")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("there is no CUDA device here; --device cpu rehearses the same steps", file=sys.stderr)
        return 2
    name = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    with tempfile.TemporaryDirectory() as folder:
        found = run(Machine(options.device, Path(folder)), {step: STEPS[step] for step in options.only})
    write_json(options.json, {"benchmark": "gpu", "device_name": name, **context(PACKAGES), "steps": found})
    failed = {step: outcome["failed"] for step, outcome in found.items() if "failed" in outcome}
    print(
        "\n".join(f"{step}: {'failed' if step in failed else 'done'} in {found[step]['seconds']} s" for step in found)
    )
    print("\n".join(f"\n{step}: {reason}" for step, reason in failed.items()), file=sys.stderr)
    return int(bool(failed))

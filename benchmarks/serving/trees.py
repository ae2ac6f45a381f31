"""This checkout's server against another checkout's, under the same load in turn: what a change costs or gains.

    git worktree add ../before COMMIT
    python -m benchmarks serving.trees --against ../before --json trees.json

Both serve the weights and the tasks that ship with the other checkout. They run at once, and only one is under load
at a time. A round loads both, another one first each time. A figure is the median of the rounds' ratios with its 95 %
interval, so a machine that slows down disturbs both alike. The answers are compared before anything is timed.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
from PIL import Image

from adapters_store import unpack
from benchmarks.measure import LEAST_VALUES, commit_of, context, ratios
from benchmarks.serving import load
from benchmarks.serving.asking import Best, Style, ask, compare, request
from benchmarks.serving.run import PACKAGES, Figures, TooSlow, loaded, measure_and_report
from benchmarks.serving.servers import ROOT, NotStarted, Running, await_ready, end, free_port

FIGURES = ("per_second", "p50_ms", "p99_ms", "server_cpu_ms_per_request")
_COMPARED = 2  # images of each task
_WARMUP = 0.5  # seconds of each load that do not count
_READY = "computed by compiled kernels"  # the server's log says so


def images(form: str, side: int, count: int = 256) -> list[bytes]:
    """Encoded noise, each image another one: two equal images in a batch would be computed once."""
    rng, encoded = np.random.default_rng(0), []
    for _ in range(count):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(file, form)
        encoded.append(file.getvalue())
    return encoded


@contextmanager
def serving(tree: Path, model: Path, folder: Path, *, threads: int) -> Iterator[Running]:
    """A checkout's own `mimi serve` over the weights and the tasks of the checkout `model`; its kernels are in use.

    Raises:
        NotStarted: it ended, or its kernels were not there in time.
    """
    port = free_port()
    log, kept = folder / f"{port}.log", {key: it for key, it in os.environ.items() if not key.startswith("MIMI_")}
    backbone = backbone_of(model)
    chosen = {
        "PORT": port, "STORE": folder / f"{port}.db", "THREADS": threads, "PRECISION": "fp32", "BACKBONE": backbone,
        "WEIGHTS": model / "backbone" / "weights" / backbone / "model.safetensors",
    }  # fmt: skip
    variables = {**kept, "PYTHONPATH": str(tree), **{f"MIMI_{name}": str(value) for name, value in chosen.items()}}
    with log.open("wb") as output:
        words = [sys.executable, "-m", "mimi", "serve"]
        process = subprocess.Popen(
            words, env=variables, cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        await_ready(process, log, lambda: _READY in log.read_text(encoding="utf-8", errors="replace"))
        await_ready(process, log, lambda: _published(port, task_files(model)))
        yield Running(port, psutil.Process(process.pid))
    finally:
        end(process)


def backbone_of(model: Path) -> str:
    """The name of the backbone that a checkout's tasks were trained on."""
    return unpack(task_files(model)[0].read_bytes()).manifest.backbone.name


def task_files(model: Path) -> list[Path]:
    """The task adapter files that ship with a checkout."""
    return sorted((model / "adapters_store" / "bundled").glob("*.safetensors"))


def _published(port: int, files: Sequence[Path]) -> bool:
    """Publish all files; False if the server does not answer yet."""
    try:
        for file in files:
            url = f"http://127.0.0.1:{port}{_path(file)}"
            with urllib.request.urlopen(urllib.request.Request(url, file.read_bytes(), method="PUT"), timeout=60):
                pass
    except urllib.error.HTTPError as error:
        raise NotStarted(f"{file.name}: {error.read().decode()}") from None
    except OSError:
        return False
    return True


def _path(file: Path) -> str:
    return f"/v1/tasks/compared-{file.stem}"


def style(file: Path) -> Style:
    """A request to the task of a file."""
    return Style(f"{_path(file)}/predict", "image/png", bytes, lambda answer: answer["results"][0]["predictions"])


def measure(server: Running, job: load.Job) -> Figures:
    """The figures of one turn.

    Raises:
        TooSlow: a request failed, or hardly any was answered.
    """
    found = loaded(server, replace(job, port=server.port), os.environ)
    if found["failed"]:
        raise TooSlow(f"{found['failed']} of {found['requests']} requests failed")
    return found


def answers(server: Running, styles: Sequence[Style], pictures: Sequence[bytes]) -> list[Best]:
    """Every task's answers to the first images."""
    return [ask(server.port, style, each) for style in styles for each in pictures[:_COMPARED]]


def compared(rounds: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """Each figure of this checkout, of the other one, and the ratio of the two (this / other)."""
    told = {}
    for figure in FIGURES:
        ours, other = ([each[name][figure] for each in rounds] for name in ("this", "other"))
        told[figure] = {"this": median(ours), "other": median(other), "ratio": asdict(ratios(ours, other))}
    return told


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks serving.trees", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--against", type=Path, required=True, help="folder of the other checkout")
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--rounds", type=int, default=20, help=f"pairs of loads, {LEAST_VALUES} or more (default: 20)")
    parser.add_argument("--seconds", type=float, default=2.5, help="of a load (default: 2.5)")
    parser.add_argument("--clients", type=int, default=16, help="requests under way (default: 16)")
    parser.add_argument("--form", choices=("PNG", "JPEG"), default="PNG", help="of the images (default: PNG)")
    parser.add_argument("--side", type=int, default=64, help="of the images, in pixels (default: 64)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of a forward pass (default: every core)")
    parser.add_argument("--force", action="store_true", help="measure on a machine that has other work, too")
    options = parser.parse_args(arguments)
    if options.rounds < LEAST_VALUES:
        parser.error(f"--rounds: {LEAST_VALUES} or more, of fewer no interval can be given")
    return options


def run(options: argparse.Namespace) -> dict[str, object]:
    """Everything measured, as JSON values.

    Raises:
        WrongAnswer, TooSlow: the two answer differently, or a request failed.
    """
    other, pictures = options.against.resolve(), images(options.form, options.side)
    styles = [style(file) for file in task_files(other)]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        requests = [request(style, each) for style, each in zip(cycle(styles), pictures, strict=False)]
        load.save(requests, folder / "requests")
        job = load.Job(0, str(folder / "requests"), _WARMUP, options.seconds, clients=options.clients)
        servers = {
            key: stack.enter_context(serving(tree, other, folder, threads=options.threads))
            for key, tree in (("this", ROOT), ("other", other))
        }
        found, wanted = (answers(servers[key], styles, pictures) for key in ("this", "other"))
        compare("this checkout", found, wanted)
        for server in servers.values():
            measure(server, job)  # caches and allocators
        rounds = [_round(servers, job, number) for number in range(options.rounds)]
    return {
        "benchmark": "serving.trees",
        **context(PACKAGES),
        "other": commit_of(other),
        "settings": {key: it for key, it in vars(options).items() if key not in ("against", "json", "force")},
        "compared": compared(rounds),
        "rounds": rounds,
    }


def _round(servers: Mapping[str, Running], job: load.Job, number: int) -> dict[str, Figures]:
    names = sorted(servers, reverse=number % 2 == 0)
    return {name: measure(servers[name], job) for name in names}


def report(result: Mapping[str, Any]) -> str:
    """A line for each figure."""
    line = "{:26} this {this:8.2f}   other {other:8.2f}   ratio {median:.3f} ({low:.3f} … {high:.3f})"
    return "\n".join(line.format(figure, **told, **told["ratio"]) for figure, told in result["compared"].items())


def main(arguments: Sequence[str]) -> int:
    """Measure, write the JSON file, print the figures."""
    return measure_and_report(parse(arguments), run, report)

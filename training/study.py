"""The study behind docs/results.md: linear probe, vanilla adapters and MiMi at equal budgets, over several seeds.

    python -m training.study DATA --runs docs/results/gtsrb.jsonl --work DIR

One JSON line per finished figure. A study started again leaves out what has its lines already, and several processes
may work on the same one, each on the contestant and seed that it holds the lock of.
"""

import argparse
import fcntl
import json
import platform
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch

from backbone import Preprocessing, load_backbone
from training.contestants import Arena, Row, contestants
from training.data import load_data
from training.options import FitOptions, MiMiOptions
from training.pixels import PixelSet
from training.prepare import Prepared, prepare, public_name


def main() -> None:
    """Parse the command line and work until nothing is left to claim."""
    given = _parse()
    given.work.mkdir(parents=True, exist_ok=True)
    backbone = load_backbone()
    few = partial(few_of, given.data, given.per_class, backbone.preprocessing)
    made_by = _made_by()
    options = _options(given)
    for (name, train), seed in product(contestants(options).items(), given.seeds):
        common: Row = {"method": name, "dataset": public_name(given.data), "seed": seed}
        common |= {"per_class": given.per_class, "cycle_epochs": given.epochs}
        with _claimed(given.work / f"{name}-seed{seed}.lock") as mine:
            if not mine or _finished(given.runs, common):
                continue
            print(f"== {name}, seed {seed}", flush=True)
            arena = Arena(backbone, replace(options, seed=seed), tuple(given.rates), given.work, few)
            _append(given.runs, [{**common, **row, **made_by} for row in train(arena, few(seed))])


def few_of(spec: str, per_class: int, preprocessing: Preprocessing, seed: int) -> Prepared:
    """The data set with at most `per_class` training images of a class (0: all), drawn by the seed."""
    prepared = prepare(load_data(spec), preprocessing, validation=0.1, seed=seed)
    if not per_class:
        return prepared
    order = np.random.default_rng(seed).permutation(len(prepared.train))
    targets = prepared.train.targets.numpy()[order]
    rows = [order[targets == label][:per_class] for label in range(len(prepared.labels))]
    kept = torch.from_numpy(np.concatenate(rows))
    return replace(prepared, train=PixelSet(prepared.train.pixels[kept], prepared.train.targets[kept]))


@contextmanager
def _claimed(lock: Path) -> Iterator[bool]:
    """True for the one process that holds the lock; the kernel drops it when the process ends."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _finished(runs: Path, common: Row) -> bool:
    """Whether a line of this contestant, seed and budget is there: its lines are written all at once."""
    lines = runs.read_text(encoding="utf-8").splitlines() if runs.exists() else []
    return any(common.items() <= json.loads(line).items() for line in lines)


def _made_by() -> Row:
    """What a line says of its making; read at the start, since the checkout may move on while a study runs."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "purpose": "study",
        "commit": commit.stdout.strip(),
        "device": f"{platform.machine()} CPU, {torch.get_num_threads()} thread(s)",
    }


def _append(runs: Path, rows: Sequence[Row]) -> None:
    runs.parent.mkdir(parents=True, exist_ok=True)
    with runs.open("a", encoding="utf-8") as file:  # one write, so that lines of two processes do not mix
        file.write("".join(json.dumps(row) + "\n" for row in rows))


def _options(given: argparse.Namespace) -> MiMiOptions:
    fit = FitOptions(
        epochs=given.epochs,
        warmup_epochs=0.5,
        batch_size=given.batch_size,
        reference_batch=None,
        flip=not given.no_flip,
        rotate=given.rotate,
        zoom=given.zoom,
        jitter=given.jitter,
    )
    return MiMiOptions(fit=fit)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a data set as `mimi train` takes it")
    parser.add_argument("--runs", type=Path, required=True, help="JSON lines to append to")
    parser.add_argument("--work", type=Path, required=True, help="checkpoints, locks and chosen rates")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=5, help="of one cycle")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-3, 2e-3, 5e-3], help="to choose from")
    parser.add_argument("--per-class", type=int, default=0, help="training images of a class; 0: all")
    parser.add_argument("--no-flip", action="store_true", help="for classes that a mirror changes, such as road signs")
    for name in ("rotate", "zoom", "jitter"):
        parser.add_argument(f"--{name}", type=float, default=0.0, help="augmentation, see training.options")
    return parser.parse_args()


if __name__ == "__main__":
    main()

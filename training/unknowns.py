"""Measures the bundled tasks' answers on test images: calibration, and how well each score finds foreign images.

    python -m training.unknowns DIR [--json FILE] [--markdown FILE]

`DIR` holds one folder of Parquet files per data set, as for `training.bundled`. Every task looks at the test images of
every other task; tasks of the same images are no pair. `--only` measures some tasks, and takes the rows of the others
from the JSON file. `file` is the score that the stored files use. The others are
fitted here, on the same training images, to be compared with it. Nothing in a file is chosen on these images.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adapters_store import TaskAdapter, unpack
from adapters_store.answers import SOFTMAX
from backbone import Backbone, known_features, load_backbone, unknown_scores
from training.bundled import RECIPES, STORE, prepared_of
from training.calibrate import Outputs, Rules, known_of, outputs_of, probabilities_of, sample
from training.export import from_file
from training.files import write_atomic
from training.metrics import area_under_roc, calibration_error, chance_error
from training.pixels import PixelSet
from training.prepare import Prepared

KEPT = 0.95  # share of the task's own test images at which foreign ones are counted
_NEIGHBOURS = 5
_SHRINKAGE = 0.3  # of a full covariance towards the mean variance
_CHUNK = 512  # images, of a product with all training images

Floats = NDArray[np.floating[Any]]
Score = Callable[[Outputs], Floats]


@dataclass(frozen=True, slots=True)
class Task:
    """One bundled task on its own images, and what it gives for the test images of the others, by their name."""

    adapter: TaskAdapter
    train: Outputs
    own: Outputs
    foreign: Mapping[str, Outputs]


def scores_of(task: Task) -> dict[str, Score]:
    """Every score that is compared, larger for an unknown image."""
    answers = task.adapter.manifest.answers
    known, arrays = answers and answers.known, task.adapter.known
    found: dict[str, Score] = {
        "maximum softmax": lambda x: -probabilities_of(x.logits, SOFTMAX, 1.0).max(1),
        "energy": lambda x: -np.logaddexp.reduce(x.logits, axis=1),
        "maximum logit": lambda x: -x.logits.max(1),
        f"{_NEIGHBOURS} nearest neighbours": _neighbours(task.train),
        "Mahalanobis": _mahalanobis(task.train, relative=False),
        "relative Mahalanobis": _mahalanobis(task.train, relative=True),
    }
    for rank in (4, 8, 16, 32, 64):
        found[f"rank {rank} and residual"] = _projected(task.train, rank)
    if known and arrays:
        rules = known_features(arrays, known.residual_variance, known.threshold)
        found["file"] = lambda x: unknown_scores(x.features, rules)
    return found


def _projected(train: Outputs, rank: int) -> Score:
    arrays, known = known_of(train, train, SOFTMAX, Rules(rank=rank))
    rules = known_features(arrays, known.residual_variance, known.threshold)
    return lambda x: unknown_scores(x.features, rules)


def _neighbours(train: Outputs) -> Score:
    """Distance to the k-th neighbour among normalised training features (Sun et al. 2022)."""
    bank = _unit(train.features)

    def score(x: Outputs) -> Floats:
        parts = np.array_split(_unit(x.features), max(1, len(x.features) // _CHUNK))
        return np.concatenate([np.partition(-part @ bank.T, _NEIGHBOURS - 1)[:, _NEIGHBOURS - 1] for part in parts])

    return score


def _unit(features: Floats) -> Floats:
    found: Floats = features / np.linalg.norm(features, axis=1, keepdims=True)
    return found


def _mahalanobis(train: Outputs, *, relative: bool) -> Score:
    """Lee et al. 2018; relative: minus the distance to one Gaussian over all classes (Ren et al. 2021)."""
    features = train.features.astype(np.float64)
    counts = train.truth.sum(0)[:, None]
    means, mean = (train.truth.T.astype(np.float64) @ features) / np.maximum(1, counts), features.mean(0)
    within = _factor(features - means[train.truth.argmax(1)])
    around = _factor(features - mean)

    def score(x: Outputs) -> Floats:
        near = _nearest(x.features @ within, means @ within)
        return near - _nearest(x.features @ around, mean[None] @ around) if relative else near

    return score


def _factor(centred: Floats) -> Floats:
    covariance = centred.T @ centred / len(centred)
    size = len(covariance)
    shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * np.trace(covariance) / size * np.eye(size)
    found: Floats = np.linalg.cholesky(np.linalg.inv(shrunk))
    return found


def _nearest(points: Floats, centres: Floats) -> Floats:
    squares = (points**2).sum(1)[:, None] - 2 * points @ centres.T + (centres**2).sum(1)
    found: Floats = squares.min(1)
    return found


def measured(name: str, task: Task) -> dict[str, Any]:
    """The row of a task: calibration, and for each score and foreign task AUROC and the share called unknown."""
    answers = task.adapter.manifest.answers
    right = task.own.logits.argmax(1) == task.own.truth.argmax(1)
    row: dict[str, Any] = {"task": name, "images": len(right), "accuracy": float(right.mean()), "scores": {}}
    for key, temperature in (("ece_raw", 1.0), ("ece", answers.temperature if answers else 1.0)):
        confidences = probabilities_of(task.own.logits, SOFTMAX, temperature).max(1)
        row |= {key: calibration_error(confidences, right), "ece_by_chance": chance_error(confidences)}
    row["temperature"] = answers.temperature if answers else 1.0
    for label, score in scores_of(task).items():
        own = score(task.own)
        limit = np.quantile(own, KEPT)
        row["scores"][label] = {
            other: _pair(own, score(outputs), float(limit), label) for other, outputs in task.foreign.items()
        }
    return row


def _pair(own: Floats, foreign: Floats, limit: float, label: str) -> dict[str, float]:
    found = {"auroc": area_under_roc(own, foreign), "unknown": float((foreign > limit).mean())}
    if label == "file":
        found |= {"own_kept_by_file": float((own <= 1).mean()), "unknown_by_file": float((foreign > 1).mean())}
    return found


def means(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Each score's figures, averaged over all ordered pairs."""
    found = {}
    for label in rows[0]["scores"]:
        pairs = [pair for row in rows for pair in row["scores"].get(label, {}).values()]
        found[label] = {key: float(np.mean([pair[key] for pair in pairs])) for key in pairs[0]}
    return found


def tables(rows: Sequence[Mapping[str, Any]]) -> str:
    """Everything as Markdown."""
    lines = ["| task | images | top-1 | temperature | ECE before | ECE | by chance |", "|---|" + "---:|" * 6]
    lines += [
        f"| {row['task']} | {row['images']} | {row['accuracy']:.4f} | {row['temperature']:.2f} | "
        f"{row['ece_raw']:.3f} | {row['ece']:.3f} | {row['ece_by_chance']:.3f} |"
        for row in rows
    ]
    lines += ["", "| score, mean over all pairs | AUROC | unknown at 95 % kept |", "|---|---:|---:|"]
    lines += [f"| {name} | {pair['auroc']:.3f} | {pair['unknown']:.3f} |" for name, pair in means(rows).items()]
    shown = next(iter(reversed(rows[0]["scores"])))
    names = [row["task"] for row in rows]
    lines += ["", f"| {shown}: AUROC, unknown | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for row in rows:
        cells = [row["scores"][shown].get(name) for name in names]
        texts = [f"{pair['auroc']:.3f}, {pair['unknown']:.2f}" if pair else "-" for pair in cells]
        lines.append(f"| {row['task']} | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def load(name: str, sets: Mapping[str, Prepared], backbone: Backbone) -> Task:
    """A bundled task with its outputs for its own images and for all test images of others."""
    data = (STORE / f"{name}.safetensors").read_bytes()
    model, own = from_file(data, backbone), sets[name]
    others = {other: prepared for other, prepared in sets.items() if not _same_images(own, prepared)}
    seen: dict[str, Outputs] = {}
    for prepared in others.values():
        digest = _digest(prepared)
        if digest not in seen and prepared.test is not None:
            unlabelled = torch.zeros_like(prepared.test.targets)  # another task's classes mean nothing here
            seen[digest] = outputs_of(model, PixelSet(prepared.test.pixels, unlabelled))
    foreign = {other: seen[_digest(prepared)] for other, prepared in others.items()}
    if own.test is None:
        raise ValueError(f"{name} has no test images")
    return Task(unpack(data), outputs_of(model, sample(own.train)), outputs_of(model, own.test), foreign)


def _same_images(one: Prepared, other: Prepared) -> bool:
    return _digest(one) == _digest(other)


def _digest(prepared: Prepared) -> str:
    """Names the test images, whatever their classes are."""
    return "".join(image.hex() for image in prepared.test.hashes()[:16]) if prepared.test else ""


def main() -> None:
    """Parse the command line, measure, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with one folder of Parquet files a data set")
    parser.add_argument("--json", type=Path, help="write every figure there")
    parser.add_argument("--markdown", type=Path, help="write the tables there")
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES), help="tasks to measure anew")
    given = parser.parse_args()
    some = len(given.only) < len(RECIPES)
    if some and not given.json:
        parser.error("--only needs --json, where the rows of the other tasks are")
    known = json.loads(given.json.read_text())["tasks"] if some else []
    found = {row["task"]: row for row in known}
    backbone = load_backbone()
    sets = {name: prepared_of(name, given.data, backbone) for name in RECIPES}
    for name in given.only:
        print(f"== {name}", flush=True)
        found[name] = measured(name, load(name, sets, backbone))
    rows = [found[name] for name in RECIPES]
    if given.json:
        write_atomic(given.json, (json.dumps({"tasks": rows, "means": means(rows)}, indent=1) + "\n").encode())
    if given.markdown:
        write_atomic(given.markdown, tables(rows).encode())
    print(tables(rows))


if __name__ == "__main__":
    main()

"""Heads in closed form: which one, whether a random projection helps, and how good a class is that was added.

Features are those of the bare backbone, so that no adapter has seen the class that is held back. Penalties are chosen
on validation images, figures are of test images. A new class has at most 200 images.

    python -m benchmarks studies.heads --data DIR --json docs/results/heads.json --markdown docs/results/heads.md
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from adapters_store.statistics import Head, closed_head, statistics_of, unpacked, with_class
from backbone import BUNDLED, Backbone, load_backbone
from benchmarks.measure import context, write_json
from training.calibrate import outputs_of
from training.data import load_data
from training.head import PENALTIES, add_class, head_file
from training.linear_probe import solve
from training.model import AdaptedModel
from training.options import MiMiOptions
from training.pixels import PixelSet
from training.prepare import Prepared, prepare

PACKAGES = ("torch", "timm", "numpy")
SETS = ("dtd10", "pacs-sketch", "pacs-photo", "gtsrb", "cifar10")
MOST = {"train": 1500, "validation": 400, "test": 800}  # images
NEW = 200  # most images of the class that is added
HELD = 3  # classes that are held back, one after the other
PROBE = (1e-4, 1e-3, 1e-2)  # penalties of the head that is trained again
PROJECTED = 2000  # random features (McDonnell et al. 2023 have 10,000; the scatter would have 200 MB)

Floats = NDArray[np.float64]
Fit = Callable[[Floats, NDArray[np.int64], float], Head]


class Split(NamedTuple):
    """Features (n, F) and classes (n,)."""

    features: Floats
    targets: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Features:
    """Those of one data set."""

    name: str
    classes: int
    train: Split
    validation: Split
    test: Split


def features_of(prepared: Prepared, backbone: Backbone) -> Features:
    """Features of the bare backbone."""
    model = AdaptedModel(backbone, (0,) * len(backbone.sites), len(prepared.labels))
    found = {}
    for name in MOST:
        images = getattr(prepared, name)
        outputs = outputs_of(model, images)
        found[name] = Split(outputs.features.astype(np.float64), outputs.truth.argmax(1))
    return Features(prepared.name, len(prepared.labels), **found)


def some(images: PixelSet, most: int) -> PixelSet:
    """At most `most` images, drawn by one seed."""
    rows = torch.from_numpy(np.random.default_rng(0).permutation(len(images))[:most])
    return PixelSet(images.pixels[rows], images.targets[rows])


def accuracy(head: Head, split: Split) -> float:
    """Top-1."""
    return float(((split.features @ head.weight.T + head.bias).argmax(1) == split.targets).mean())


def discriminant(classes: int) -> Fit:
    """The closed head that the project computes."""
    return lambda x, y, penalty: closed_head(*statistics_of(x, y, classes), penalty, 1.0)


def ridge(classes: int) -> Fit:
    """Ridge regression onto one-hot targets, from the same statistics."""

    def fit(x: Floats, y: NDArray[np.int64], penalty: float) -> Head:
        counts, arrays = statistics_of(x, y, classes)
        share, means = np.array(counts)[:, None] / len(y), arrays.means.astype(np.float64)
        centre = (share * means).sum(0)
        apart = means - centre
        total = unpacked(arrays.scatter, x.shape[1]) / len(y) + (share * apart).T @ apart
        total += penalty * np.trace(total) / len(total) * np.eye(len(total))
        weight = np.linalg.solve(total, (share * apart).T).T
        return Head(weight, share[:, 0] - weight @ centre)

    return fit


def logistic(classes: int) -> Fit:
    """Logistic regression, solved to convergence: the head trained again."""

    def fit(x: Floats, y: NDArray[np.int64], penalty: float) -> Head:
        mean, scale = x.mean(0), x.std(0) + 1e-6
        standard = torch.from_numpy((x - mean) / scale).float()
        weight, bias = (each.double().numpy() for each in solve(standard, torch.from_numpy(y), classes, penalty))
        return Head(weight / scale, bias - weight / scale @ mean)

    return fit


def projected(found: Features) -> Features:
    """ReLU of random projections of the features, as RanPAC has them."""
    mean, scale = found.train.features.mean(0), found.train.features.std(0).mean()
    matrix = np.random.default_rng(0).standard_normal((len(mean), PROJECTED))

    def through(split: Split) -> Split:
        return split._replace(features=np.maximum((split.features - mean) / scale @ matrix, 0))

    return replace(found, train=through(found.train), validation=through(found.validation), test=through(found.test))


def chosen(fit: Fit, penalties: Sequence[float], found: Features) -> Head:
    """The head whose penalty is best on validation."""
    heads = [fit(*found.train, penalty) for penalty in penalties]
    return max(heads, key=lambda head: accuracy(head, found.validation))


def compared(found: Features) -> dict[str, float]:
    """Test accuracy of each kind of head."""
    kinds = {"discriminant": (discriminant, PENALTIES), "ridge": (ridge, PENALTIES), "logistic": (logistic, PROBE)}
    figures = {
        name: accuracy(chosen(kind(found.classes), each, found), found.test) for name, (kind, each) in kinds.items()
    }
    wide = projected(found)
    figures["ridge, projected"] = accuracy(chosen(ridge(found.classes), PENALTIES[1::2], wide), wide.test)
    return figures


def held_back(found: Features) -> list[dict[str, float]]:
    """Test accuracy with one class added in closed form, and with the head trained again on all images."""
    rows = []
    for label in np.linspace(0, found.classes - 1, HELD).astype(int).tolist():
        x, y = found.train
        new = np.flatnonzero(y == label)[:NEW]
        old = np.flatnonzero(y != label)
        names = np.where(y > label, y - 1, y)  # the classes without the one held back
        own = found.validation.targets != label
        seen = found.validation.targets[own]
        without = replace(
            found,
            classes=found.classes - 1,
            train=Split(x[old], names[old]),
            validation=Split(found.validation.features[own], np.where(seen > label, seen - 1, seen)),
        )
        penalty = max(PENALTIES, key=partial(_validated, without))
        began = time.perf_counter()
        counts, arrays = with_class(*statistics_of(*without.train, without.classes), x[new])
        added = closed_head(counts, arrays, penalty, 1.0)
        seconds = time.perf_counter() - began
        order = np.insert(np.arange(without.classes), label, without.classes)  # the new class is the last one
        added = Head(added.weight[order], added.bias[order])
        both = np.concatenate([old, new])
        again = chosen(logistic(found.classes), PROBE, replace(found, train=Split(x[both], y[both])))
        rows.append(
            {
                "class": label,
                "images": len(new),
                "added": accuracy(added, found.test),
                "trained again": accuracy(again, found.test),
                "recall, added": _recall(added, found.test, label),
                "recall, trained again": _recall(again, found.test, label),
                "seconds of the head": seconds,
            }
        )
    return rows


def _validated(found: Features, penalty: float) -> float:
    return accuracy(discriminant(found.classes)(*found.train, penalty), found.validation)


def _recall(head: Head, split: Split, label: int) -> float:
    rows = split.targets == label
    return accuracy(head, Split(split.features[rows], split.targets[rows]))


def seconds_to_add(prepared: Prepared, backbone: Backbone) -> dict[str, float]:
    """The time of `add_class` for `NEW` decoded images, features included; and the bytes of the statistics."""
    data = head_file(prepared, backbone, MiMiOptions())
    rows = torch.arange(NEW) % len(prepared.train)
    images = PixelSet(prepared.train.pixels[rows], torch.zeros(NEW, dtype=torch.int64))
    began, cpu = time.perf_counter(), time.process_time()
    made = add_class(data, "the new class", images, backbone)
    return {
        "images": NEW,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "bytes of the file": len(made),
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Everything measured, as JSON values."""
    torch.manual_seed(0)
    backbone = load_backbone(BUNDLED)
    sets: dict[str, Any] = {}
    speed: dict[str, float] = {}
    for name in options.sets:
        prepared = prepare(load_data(str(options.data / name)), backbone.preprocessing, validation=0.2, seed=0)
        prepared = replace(
            prepared,
            train=some(prepared.train, MOST["train"]),
            validation=some(prepared.validation, MOST["validation"]),
            test=some(prepared.test or prepared.validation, MOST["test"]),
        )
        found = features_of(prepared, backbone)
        sets[name] = {"heads": compared(found), "held_back": held_back(found)}
        speed = speed or seconds_to_add(prepared, backbone)
        print(name, sets[name]["heads"], flush=True)
    return {
        "benchmark": "heads",
        "backbone": backbone.name,
        **context(PACKAGES),
        "images": MOST,
        "sets": sets,
        "adding": speed,
    }


def report(result: Mapping[str, Any]) -> str:
    """Both tables, as Markdown."""
    sets = result["sets"]
    kinds = list(next(iter(sets.values()))["heads"])
    lines = [f"| test top-1 | {' | '.join(kinds)} |", "|---|" + "---:|" * len(kinds)]
    lines += [f"| {name} | {_cells(each['heads'][kind] for kind in kinds)} |" for name, each in sets.items()]
    mean = [float(np.mean([each["heads"][kind] for each in sets.values()])) for kind in kinds]
    lines += [f"| mean | {_cells(mean)} |", ""]
    columns = ("added", "trained again", "recall, added", "recall, trained again")
    lines += [f"| one class held back | images | {' | '.join(columns)} | ratio |", "|---|" + "---:|" * 6]
    ratios = []
    for name, each in sets.items():
        for row in each["held_back"]:
            ratios.append(row["added"] / row["trained again"])
            cells = _cells(row[column] for column in columns)
            lines.append(f"| {name}, class {row['class']} | {row['images']} | {cells} | {ratios[-1]:.3f} |")
    lines.append(f"| mean; least | | | | | | {np.mean(ratios):.3f}; {min(ratios):.3f} |")
    speed = result["adding"]
    return "\n".join(
        [
            *lines,
            "",
            f"{speed['images']} images added in {speed['seconds']:.1f} s, features included "
            f"({speed['cpu_seconds']:.1f} s of a processor); the file has {speed['bytes of the file']:,} bytes.",
        ]
    )


def _cells(values: Any) -> str:  # noqa: ANN401 - any iterable of floats
    return " | ".join(f"{value:.3f}" for value in values)


def main(arguments: Sequence[str]) -> int:
    """Measure, write both files, print the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks studies.heads", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--sets", nargs="+", default=SETS, help="which of them")
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--markdown", type=Path, help="file to write the tables to")
    options = parser.parse_args(arguments)
    result = run(options)
    write_json(options.json, result)
    text = report(result)
    if options.markdown:
        options.markdown.write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

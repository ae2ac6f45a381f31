"""The teacher's targets of every view, computed once and kept in shards.

A shard is a folder of three arrays. It gets its final name when it is complete, so a killed process leaves no partial
shard under such a name. Shards of one round follow one another in the round's own mixed order.

    DIR/identity.json                      what the views are and which teacher saw them
    DIR/round-0/shard-0000/features.npy    float16 (n, 5, 384)
                           pixels.npy      uint8 (n, H, W, 3), the view at the student's size
                           views.npy       int32 (n, 4): source, image, number, class or -1
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, takewhile
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backbone import Preprocessing
from training.errors import CheckpointMismatch
from training.files import write_atomic
from training.pretraining.distill.teacher import SIDE
from training.pretraining.distill.views import Pixels, Source, View, ViewOptions, draw, round_of

SHARD = 2048  # views
UNLABELLED = -1

Encode = Callable[[Tensor], Tensor]  # uint8 (B, 98, 98, 3) -> float32 (B, 5, 384)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that decides the contents of a store.

    Attributes:
        sources: what is shown.
        options: how views are drawn.
        student: the student's preprocessing, for its size.
        teacher: hash of the teacher's weights.
        shard: views in a shard.
    """

    sources: tuple[Source, ...]
    options: ViewOptions
    student: Preprocessing
    teacher: str
    shard: int = SHARD

    @property
    def identity(self) -> dict[str, object]:
        """JSON values that two equal stores share."""
        options = self.options
        return {
            "sources": [[each.name, len(each.images), each.views, each.labelled] for each in self.sources],
            "views": {"seed": options.seed, "smallest": options.smallest, "jitter": options.jitter},
            "size": list(self.student.size),
            "teacher": self.teacher,
            "shard": self.shard,
        }


def fill(
    folder: Path, plan: Plan, rounds: int, encode: Encode, *, say: Callable[[str], None], threads: int = 1
) -> None:
    """Compute the shards that are not there yet, of rounds 0 to `rounds` - 1, in order.

    Args:
        folder: of the store.
        plan: its contents.
        rounds: how many rounds it is to hold.
        encode: the teacher; called from several threads, each with its own batch.
        say: told of every shard that is done.
        threads: shards computed side by side.

    Raises:
        CheckpointMismatch: the folder holds another store.
    """
    _claim(folder, plan.identity)
    for number in range(rounds):
        views = round_of(plan.sources, number, plan.options)
        shards = [views[first : first + plan.shard] for first in range(0, len(views), plan.shard)]
        wanted = [(place, path) for place in range(len(shards)) if not (path := _path(folder, number, place)).exists()]

        def one(job: tuple[int, Path], number: int = number, shards: list[list[View]] = shards) -> None:
            place, path = job
            _write(path, _compute(shards[place], plan, encode))
            say(f"round {number}: shard {place + 1} of {len(shards)}")

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, wanted))


def _claim(folder: Path, identity: Mapping[str, object]) -> None:
    """Make the store, or see that it is the one that is wanted, and clear what a killed process left."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "identity.json"
    text = json.dumps(identity, indent=1)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise CheckpointMismatch(f"{path} describes other views or another teacher; choose another folder")
    write_atomic(path, text.encode())
    for part in folder.glob("round-*/.*"):
        shutil.rmtree(part)


def _path(folder: Path, number: int, place: int) -> Path:
    return folder / f"round-{number}" / f"shard-{place:04d}"


def _compute(views: Sequence[View], plan: Plan, encode: Encode, batch_size: int = 32) -> dict[str, NDArray[np.generic]]:
    """The arrays of one shard; small batches stay in a core's cache."""
    large = Preprocessing((SIDE, SIDE), 1.0, "bicubic", plan.student.mean, plan.student.std)
    pixels, features, rows = [], [], []
    for first in range(0, len(views), batch_size):
        shown = []
        for view in views[first : first + batch_size]:
            source = plan.sources[view.source]
            seen, own = draw(source.images.image(view.image), view, plan.options, (large, plan.student))
            shown.append(seen)
            pixels.append(own)
            label = int(source.images.targets[view.image]) if source.labelled else UNLABELLED
            rows.append((view.source, view.image, view.number, label))
        with torch.inference_mode():  # of this thread
            features.append(encode(torch.from_numpy(np.stack(shown))).half().numpy())
    return {"features": np.concatenate(features), "pixels": np.stack(pixels), "views": np.array(rows, np.int32)}


def _write(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """A folder of arrays that is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(temporary / f"{name}.npy", array)
    temporary.replace(path)


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """All views of a store, mapped into memory.

    Attributes:
        features: of each shard, float16 (n, 5, 384).
        pixels: of each shard, uint8 (n, H, W, 3).
        views: int32 (all, 4): source, image, number, class or -1.
        starts: number of the first view of each shard, and the number of all.
        identity: of the store.
    """

    features: tuple[NDArray[np.float16], ...]
    pixels: tuple[Pixels, ...]
    views: NDArray[np.int32]
    starts: NDArray[np.int64]
    identity: Mapping[str, object]

    def __len__(self) -> int:
        """Number of views."""
        return int(self.starts[-1])

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels uint8 (B, H, W, 3), features float32 (B, 5, 384), and classes int64 (B,) with -1 for none."""
        places = rows.numpy()
        shards = np.searchsorted(self.starts, places, "right") - 1
        inside = places - self.starts[shards]
        pixels = np.stack([self.pixels[shard][row] for shard, row in zip(shards, inside, strict=True)])
        features = np.stack([self.features[shard][row] for shard, row in zip(shards, inside, strict=True)])
        labels = torch.from_numpy(self.views[places, 3].astype(np.int64))
        return torch.from_numpy(pixels), torch.from_numpy(features).float(), labels


def open_targets(folder: Path) -> Targets:
    """The views of all rounds in their order, up to the first shard that is not there yet.

    Views that are added later follow those that are there now.

    Raises:
        CheckpointMismatch: there is no store, or nothing in it.
    """
    path = folder / "identity.json"
    if not path.exists() or not (parts := list(_complete(folder, json.loads(path.read_text(encoding="utf-8"))))):
        raise CheckpointMismatch(f"{folder} has no views: compute the teacher's targets first")
    views = [np.load(part / "views.npy") for part in parts]
    return Targets(
        tuple(np.load(part / "features.npy", mmap_mode="r") for part in parts),
        tuple(np.load(part / "pixels.npy", mmap_mode="r") for part in parts),
        np.concatenate(views),
        np.cumsum([0, *(len(each) for each in views)]),
        json.loads(path.read_text(encoding="utf-8")),
    )


def _complete(folder: Path, identity: Mapping[str, Any]) -> Iterator[Path]:
    """Shards in order, up to the first that is not there."""
    shards = ceil(sum(images * views for _, images, views, _ in identity["sources"]) / identity["shard"])
    places = ((number, place) for number in count() for place in range(shards))
    paths = (_path(folder, number, place) for number, place in places)
    return takewhile(Path.exists, paths)

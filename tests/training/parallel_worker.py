"""A process of a training by several: MiMi on a tiny unbalanced set, into the folder given."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from tests.training.small import small_backbone, small_options, small_prepared, small_set
from training.mimi import Job, train_mimi
from training.parallel import join, leave
from training.pixels import PixelSet
from training.prepare import Prepared


def unbalanced() -> Prepared:
    """48 training images, three of them blue."""
    images = small_set(72, 0)
    rows = torch.cat([torch.arange(9), torch.arange(9, 72)[images.targets[9:] < 2]])[:48]
    return replace(small_prepared(), train=PixelSet(images.pixels[rows], images.targets[rows]))


def main(folder: Path, views: int, *rates: float) -> None:
    torch.set_num_threads(1)
    options = small_options()
    # 48 images in batches of 47: the last batch has one, which leaves a process without rows.
    fit = replace(options.fit, batch_size=47, views=views, flip=True, shift=3, rotate=20.0, jitter=0.5)
    fit = replace(fit, balance="sampling" if views else "weights")
    options = replace(options, fit=fit, learning_rates=rates)
    world = join("cpu")
    try:
        train_mimi(Job(unbalanced(), small_backbone(), options, folder, world=world))
    finally:
        leave(world)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *map(float, sys.argv[3:]))

"""A process of a training by several: MiMi on the tiny set, into the folder given."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from tests.training.small import small_backbone, small_options, small_prepared
from training.mimi import Job, train_mimi
from training.parallel import join, leave


def main(folder: Path, views: int, *rates: float) -> None:
    torch.set_num_threads(1)
    options = small_options()
    # 48 images in batches of 47: the last batch has one, which leaves a process without rows.
    fit = replace(options.fit, batch_size=47, views=views, flip=True, shift=3, rotate=20.0, jitter=0.5)
    options = replace(options, fit=fit, learning_rates=rates)
    world = join("cpu")
    try:
        train_mimi(Job(small_prepared(), small_backbone(), options, folder, world=world))
    finally:
        leave(world)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *map(float, sys.argv[3:]))

"""A distillation whose process is killed after a step: `python killed.py FOLDER STEP`."""

import os
import signal
import sys
from pathlib import Path

import torch

from tests.training.pretraining.small import begin, targets
from training.pretraining.distill.run import distil


def main() -> None:
    """Train until the step, with a checkpoint after each."""
    folder, last = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)

    def after(step: int) -> None:
        if step == last:
            os.kill(os.getpid(), signal.SIGKILL)

    shown = targets(folder / "targets")
    distil(begin(shown), folder / "targets", folder / "run", say=lambda text: None, every=0, after_step=after)


if __name__ == "__main__":
    main()

"""Several processes, one training: each computes a share of every batch, and all take the same step.

    torchrun --nproc-per-node 2 -m mimi train DATA

The trained parameters are few and change their shapes at every pruning. So gradients are summed here, in one message a
step; a wrapper would have to be built again after every pruning. The first process alone writes files.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, distributed, nn

from training.files import write_atomic


@dataclass(frozen=True, slots=True)
class World:
    """The processes that train together.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files and reports progress."""
        return self.rank == 0

    def share(self, rows: int) -> tuple[slice, float]:
        """The part of a batch of `rows` rows that this process computes, and its weight in the mean over the batch.

        A batch with fewer rows than processes leaves some processes without a row. They compute one row of weight 0.
        """
        short, longer = divmod(rows, self.size)  # the first `longer` processes have a row more
        start = self.rank * short + min(self.rank, longer)
        count = short + (self.rank < longer)
        return (slice(start, start + count), count / rows) if count else (slice(0, 1), 0.0)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Every gradient becomes the sum of all processes' gradients."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        for gradient, summed in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))

    def total(self, values: Tensor) -> Tensor:
        """The sum of all processes' `values`."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def write(self, path: Path, make: Callable[[], bytes]) -> None:
        """The first process replaces `path` by what `make` gives; all go on when it is there to be read."""
        if self.first:
            write_atomic(path, make())
        self.wait()

    def wait(self) -> None:
        """Go on when every process is here."""
        if self.size > 1:
            distributed.barrier()


ALONE = World()


def join(device: str) -> World:
    """The world that torchrun started this process in, which trains on `device`; ALONE without torchrun."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE
    if backend_for(device) == "nccl":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group(backend_for(device))
    return World(distributed.get_rank(), size)


def backend_for(device: str) -> str:
    """The communication between processes whose tensors are on `device`: NCCL moves tensors of CUDA only."""
    return "nccl" if torch.device(device).type == "cuda" else "gloo"


def leave(world: World) -> None:
    """Leave the process group that `join` entered."""
    if world.size > 1:
        distributed.destroy_process_group()

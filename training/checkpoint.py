"""The checkpoint of a run: one file, which after a crash is either the old one or the new one.

Tensors and JSON in a safetensors file: nothing is unpickled. No generator state is needed, because every epoch is
seeded by its number.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from training.errors import CheckpointMismatch
from training.files import write_atomic
from training.model import TaskModel

_KEY = "run"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors by name, and JSON values.

    Attributes:
        tensors: task weights, moments, and whatever else the run stores, by name.
        state: counters and rows so far.
    """

    tensors: Mapping[str, Tensor]
    state: dict[str, Any]


def save_checkpoint(path: Path, checkpoint: Checkpoint, identity: Mapping[str, object]) -> None:
    """Write `checkpoint` of the run that `identity` describes."""
    write_atomic(path, checkpoint_bytes(checkpoint, identity))


def checkpoint_bytes(checkpoint: Checkpoint, identity: Mapping[str, object]) -> bytes:
    """The file of `checkpoint`, of the run that `identity` describes."""
    text = json.dumps({"identity": identity, "state": checkpoint.state})
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    return save(tensors, metadata={_KEY: text})


def load_checkpoint(path: Path, identity: Mapping[str, object]) -> Checkpoint | None:
    """The checkpoint at `path`, None if there is none.

    Raises:
        CheckpointMismatch: it is damaged, or was written by a run with another identity.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            found = json.loads(file.metadata()[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointMismatch(f"{path} cannot be read as a checkpoint: {error}") from error
    written, expected = found["identity"], json.loads(json.dumps(identity))
    if written != expected:
        changed = sorted(key for key in expected.keys() | written.keys() if expected.get(key) != written.get(key))
        raise CheckpointMismatch(
            f"{path} belongs to a run with other {', '.join(changed)}; choose another folder, or remove it"
        )
    return Checkpoint(tensors, found["state"])


def moments_of(model: TaskModel, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state, named by parameter and moment."""
    return {
        f"moment/{name}/{key}": value
        for name, parameter in model.task_parameters().items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_task(model: TaskModel, tensors: Mapping[str, Tensor]) -> None:
    """Fill the task parameters of `model` from tensors of the same names."""
    for name, parameter in model.task_parameters().items():
        # A copy: tensors of a file can have any address, and some products give other bits at odd addresses.
        parameter.data = tensors[name].to(parameter.device, copy=True)


def restore_moments(model: TaskModel, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Fill the optimiser's state from tensors named "moment/…"."""
    for name, parameter in model.task_parameters().items():
        prefix = f"moment/{name}/"
        state = {
            key.removeprefix(prefix): _placed(tensors[key], parameter) for key in tensors if key.startswith(prefix)
        }
        if state:
            optimizer.state[parameter] = state


def _placed(moment: Tensor, parameter: nn.Parameter) -> Tensor:
    """Moments live beside their parameter; step counts (scalars) stay on the CPU, as AdamW keeps them."""
    return moment.to(parameter.device) if moment.ndim else moment


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

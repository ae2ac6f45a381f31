"""A pretraining from its first epoch to its weights file, resumable after every epoch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, under
from training.files import write_atomic
from training.fit import Progress
from training.pixels import PixelSet
from training.pretraining.recipe import Pretraining
from training.progress import Position, Reporter


@dataclass(frozen=True, slots=True)
class Images:
    """The training images, and the images that are evaluated after every epoch."""

    name: str
    train: PixelSet
    held_back: PixelSet


def pretrain(state: Pretraining, images: Images, folder: Path, reporter: Reporter) -> bytes:
    """Train all epochs, or those that are left; the averaged weights in float16, under timm's names.

    Raises:
        Diverged: the loss is no longer finite; the checkpoint of the last epoch is good.
        CheckpointMismatch: the folder holds another pretraining.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, identity = folder / "checkpoint.safetensors", _identity(state, images)
    found = load_checkpoint(path, identity)
    first = _restore(state, found) if found else 0
    epochs, validation = state.options.epochs, 0.0
    for number in range(first, epochs):
        place = Position(0, 1, number, epochs)
        progress = state.epoch(images.train, number, _telling(reporter, place))
        validation = state.evaluate(images.held_back)
        save_checkpoint(path, _snapshot(state, number + 1), identity)
        reporter.epoch(place, progress, validation)
    weights = weights_of(state)
    write_atomic(folder / "model.safetensors", weights)
    return weights


def weights_of(state: Pretraining) -> bytes:
    """The averaged weights in float16 as a safetensors file, under timm's names."""
    wanted = state.average.module.state_dict().items()
    return save({name: value.detach().cpu().half().contiguous() for name, value in wanted})


def _telling(reporter: Reporter, place: Position) -> Callable[[Progress], None]:
    return lambda progress: reporter.step(place, progress)


def _identity(state: Pretraining, images: Images) -> dict[str, object]:
    data = [images.name, state.classes, images.train.digest, images.held_back.digest]
    return {"options": state.options.as_dict(), "data": data}


def _snapshot(state: Pretraining, epoch: int) -> Checkpoint:
    tensors: dict[str, Tensor] = {f"model/{name}": value for name, value in state.model.state_dict().items()}
    tensors |= {f"average/{name}": value for name, value in state.average.state_dict().items()}
    for index, moments in state.optimizer.state_dict()["state"].items():
        tensors |= {f"moment/{index}/{name}": value for name, value in moments.items()}
    return Checkpoint({name: value.clone() for name, value in tensors.items()}, {"epoch": epoch})


def _restore(state: Pretraining, found: Checkpoint) -> int:
    """Epochs done."""
    state.model.load_state_dict(under("model/", found.tensors))
    state.average.load_state_dict(under("average/", found.tensors))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in under("moment/", found.tensors).items():
        index, _, key = name.partition("/")
        moments.setdefault(int(index), {})[key] = value
    state.optimizer.load_state_dict({**state.optimizer.state_dict(), "state": moments})
    epoch: int = found.state["epoch"]
    return epoch

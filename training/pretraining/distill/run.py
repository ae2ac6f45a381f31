"""A student from its first step to its weights file, resumable after any step that a checkpoint was written at.

Every step's views, order and augmentation follow from its number. A killed run goes on from its last checkpoint. With a
fixed number of steps it gives the same bytes as an uninterrupted one.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, under
from training.files import write_atomic
from training.jsonl import add_rows
from training.pretraining.distill.options import DistillOptions
from training.pretraining.distill.recipe import Distilling, Pass, Scale
from training.pretraining.distill.store import open_targets

_SMOOTHED = 50  # steps that a printed loss is the mean of


@dataclass(slots=True)
class Clock:
    """The progress of a run: by its steps, or by its seconds of training if minutes are given.

    Attributes:
        options: steps or minutes.
        step: the next one.
        now: the pass that it belongs to.
        seconds: trained so far, those before a restart included.
    """

    options: DistillOptions
    step: int = 0
    seconds: float = 0.0
    now: Pass = field(default_factory=Pass)

    @property
    def position(self) -> float:
        """From 0 to 1, where the schedule ends."""
        if self.options.minutes:
            return self.seconds / (60 * self.options.minutes)
        return self.step / self.options.steps

    @property
    def done(self) -> bool:
        """Whether the schedule has ended."""
        return self.position >= 1


def distil(
    state: Distilling,
    store: Path,
    folder: Path,
    *,
    say: Callable[[str], None],
    every: float = 180.0,
    after_step: Callable[[int], None] = lambda step: None,
) -> bytes:
    """Train to the end, or what is left; the averaged weights in float16, under timm's names.

    Args:
        state: what is trained.
        store: folder of the teacher's targets. It may grow meanwhile: every pass takes what is there when it begins.
        folder: gets `checkpoint.safetensors`, beside it `average.safetensors` to look at on the way, `progress.jsonl`
            and at the end `model.safetensors`.
        say: told now and then how it goes.
        every: seconds between two checkpoints.
        after_step: called with the number of every step that is done.

    Raises:
        Diverged: the loss is no longer finite; the last checkpoint is good.
        CheckpointMismatch: the folder holds another distillation.
    """
    folder.mkdir(parents=True, exist_ok=True)
    targets = open_targets(store)
    path, identity = folder / "checkpoint.safetensors", _identity(state.options, targets.identity)
    clock = Clock(state.options)
    found = load_checkpoint(path, identity)
    if found:
        _restore(state, found, clock)
        say(f"goes on at step {clock.step}, {clock.position:.1%} done")
    kept, recent, last = time.monotonic(), list[Mapping[str, float]](), time.monotonic()
    while not clock.done:
        if clock.now.over(clock.step, state.options.batch_size):
            targets = open_targets(store)
            clock.now = Pass(len(targets), clock.step)
            say(f"a pass over {len(targets)} views")
        rows = clock.now.rows(clock.step, state.options)
        recent.append(state.step(clock.step, targets, rows, clock.position))
        now = time.monotonic()
        clock.step, clock.seconds, last = clock.step + 1, clock.seconds + now - last, now
        if len(recent) == _SMOOTHED:
            _tell(folder, clock, recent, say)
            recent.clear()
        if now - kept >= every:
            _keep(path, state, clock, identity)
            kept = time.monotonic()
        after_step(clock.step)
    _keep(path, state, clock, identity)
    weights = weights_of(state)
    write_atomic(folder / "model.safetensors", weights)
    return weights


def weights_of(state: Distilling) -> bytes:
    """The averaged weights in float16 as a safetensors file, under timm's names and without the heads of training."""
    wanted = under("module.network.", state.average.state_dict()).items()
    return save({name: value.detach().half().contiguous() for name, value in wanted})


def _tell(folder: Path, clock: Clock, recent: list[Mapping[str, float]], say: Callable[[str], None]) -> None:
    """A line for a person, and one for a program."""
    mean = {name: sum(each[name] for each in recent) / len(recent) for name in recent[0]}
    line = {"step": clock.step, "position": clock.position, "seconds": clock.seconds, **mean}
    add_rows(folder / "progress.jsonl", [line])
    pace = clock.step * clock.options.batch_size / clock.seconds
    said = " ".join(f"{name} {value:.4f}" for name, value in mean.items())
    say(f"step {clock.step} ({clock.position:.1%}) {said}; {pace:.0f} views/s")


def _identity(options: DistillOptions, targets: Mapping[str, object]) -> dict[str, object]:
    """The end of the schedule is left out: a resumed run may have it moved."""
    chosen = {name: value for name, value in options.as_dict().items() if name not in ("steps", "minutes")}
    return {"options": chosen, "targets": dict(targets)}


def _keep(path: Path, state: Distilling, clock: Clock, identity: Mapping[str, object]) -> None:
    tensors: dict[str, Tensor] = {f"model/{name}": value for name, value in state.model.state_dict().items()}
    tensors |= {f"average/{name}": value for name, value in state.average.state_dict().items()}
    # Measured when the student began; the first shards may have been fewer then.
    tensors |= {"scale/mean": state.scale.mean, "scale/std": state.scale.std}
    for index, moments in state.optimizer.state_dict()["state"].items():
        tensors |= {f"moment/{index}/{name}": value for name, value in moments.items()}
    # Buffers of the model and its average may be one tensor, which the format refuses.
    counted = {"step": clock.step, "seconds": clock.seconds, "views": clock.now.views, "start": clock.now.start}
    whole = Checkpoint({name: value.clone() for name, value in tensors.items()}, counted)
    save_checkpoint(path, whole, identity)
    write_atomic(path.with_name("average.safetensors"), weights_of(state))


def _restore(state: Distilling, found: Checkpoint, clock: Clock) -> None:
    state.model.load_state_dict(under("model/", found.tensors))
    state.average.load_state_dict(under("average/", found.tensors))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in under("moment/", found.tensors).items():
        index, _, key = name.partition("/")
        moments.setdefault(int(index), {})[key] = value.clone()
    state.optimizer.load_state_dict({**state.optimizer.state_dict(), "state": moments})
    state.scale = Scale(found.tensors["scale/mean"].clone(), found.tensors["scale/std"].clone())
    counted = found.state
    clock.step, clock.seconds = counted["step"], counted["seconds"]
    clock.now = Pass(counted["views"], counted["start"])

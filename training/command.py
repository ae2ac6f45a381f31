"""One training from its data to its files, as `mimi train` and `python -m training train` run it. Knows no parser."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from adapters_store import unpack
from backbone import BUNDLED, load_backbone
from training import mimi
from training.cycles import CycleResult, result_of, results_table
from training.data import load_data
from training.errors import BadConfig, UnwritableFile
from training.files import write_atomic
from training.fit import evaluate
from training.head import check_data, head_file, with_statistics
from training.linear_probe import train_linear_probe
from training.mimi import Job, Outcome
from training.options import MiMiOptions, TrainRequest, slug
from training.parallel import World, join, leave
from training.prepare import prepare, with_resize
from training.presets import PRESETS
from training.progress import PROGRESS, Console, ProgressFile, Reporter, Several, Silent, progress_rows
from training.report.board import Board
from training.report.run_page import write_run_page

ADAPTER = "adapter.safetensors"  # in the run's folder

Say = Callable[[str], None]
Given = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training.

    Attributes:
        task: a task id made of the data set's name.
        outcome: sizes and the exported file.
        probe: the linear probe on the same images: top-1 on "validation", and on "test" if there is such a split.
        out: the task adapter file.
        report: the page about the run; None for a head in closed form, which has no run.
    """

    task: str
    outcome: Outcome
    probe: Mapping[str, float]
    out: Path
    report: Path | None

    @property
    def exported(self) -> CycleResult:
        """The figures of the exported size."""
        return self.outcome.results[self.outcome.exported]

    @property
    def probe_is_better(self) -> bool:
        """Whether a linear probe, which takes seconds, was better on validation."""
        return self.probe["validation"] > self.exported.validation

    @property
    def text(self) -> str:
        """The table of sizes, the linear probe beside it, and where everything is."""
        probe = ", ".join(f"{split} {accuracy:.4f}" for split, accuracy in self.probe.items())
        worse = "train longer or try other rates"
        return "\n".join(
            [
                results_table(self.outcome.results),
                f"linear probe: {probe}",
                *(
                    [f"warning: the linear probe is better than the exported task adapter; {worse}"]
                    * self.probe_is_better
                ),
                f"exported:     {self.exported.neurons} neurons, validation {self.exported.validation:.4f}",
                *([f"report:       {self.report}"] * (self.report is not None)),
                f"task adapter: {self.out}",
                f"publish it:   mimi publish {self.out} --task {self.task}",
            ]
        )


def choose(preset: str, algorithm: Given, pruning: Given, fit: Given, *, method: str = "mimi") -> MiMiOptions:
    """The preset, with what was given on top; a rate that was given is not searched for, and none for a head.

    Raises:
        BadConfig: a value, or values together, with which nothing could train.
    """
    base, fit = PRESETS[preset], dict(fit)
    if "warmup_epochs" not in fit and 1 <= fit.get("epochs", 0) <= base.fit.warmup_epochs:
        fit["warmup_epochs"] = base.fit.warmup_epochs * fit["epochs"] / base.fit.epochs
    if "learning_rate" in fit or method == "head":
        algorithm = {"learning_rates": (), **algorithm}
    return replace(base, fit=replace(base.fit, **fit), pruning=replace(base.pruning, **pruning), **algorithm)


def chosen_device(name: str | None) -> str:
    """`name`, or CUDA if there is a device and the CPU elsewhere.

    Raises:
        BadConfig: nothing here computes on such a device, or this machine has none.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name is None:
        return "cuda" if count else "cpu"
    kind, colon, number = name.partition(":")
    if name != "cpu" and (kind != "cuda" or bool(colon) != number.isdecimal()):
        raise BadConfig(f"--device must be cpu, cuda or cuda:NUMBER, not {name!r}")
    if kind == "cuda" and int(number or 0) >= count:
        raise BadConfig(f"--device {name}: this machine has {count} CUDA devices that PyTorch can use")
    return name


def train(data: str, request: TrainRequest, chosen: MiMiOptions, *, say: Say = print) -> Trained | None:
    """Train, or continue the run that the folder holds; of several processes only the first returns a result.

    Args:
        data: where the images are, as `load_data` reads it.
        request: columns, places and device.
        chosen: of Algorithm 1.
        say: receives lines for a person.

    Raises:
        TrainingError, DataError: nothing could be trained; see training.errors and training.data.errors.
    """
    device = chosen_device(request.device)
    folder = request.folder or Path("runs") / task_of(data)
    check_places(data, request, folder)
    world = join(device)
    try:
        return _train(data, replace(request, folder=folder, device=device), chosen, world=world, say=say)
    except KeyboardInterrupt:
        if world.first:
            print("\ninterrupted: the same command continues this run from its last epoch", file=sys.stderr)
        raise
    finally:
        leave(world)


def task_of(data: str) -> str:
    """A name for the run's folder and the task: that of the data set, without what a path or an id may not have."""
    return slug(Path(data).resolve().stem if Path(data).exists() else data)


def check_places(data: str, request: TrainRequest, folder: Path) -> None:
    """Refuse places that cannot be written to or read, before anything is decoded.

    Raises:
        BadConfig: the run's folder would become a class of the data set.
        UnwritableFile: a file is where a folder is needed, or the other way round.
    """
    images = Path(data)
    if images.is_dir() and folder.resolve().is_relative_to(images.resolve()):
        raise BadConfig(f"the run's folder {folder} is inside the data set {images}: choose another with --folder")
    for place in filter(None, (folder, request.tensorboard, request.out and request.out.parent)):
        existing = next(path for path in (place.absolute(), *place.absolute().parents) if path.exists())
        if not existing.is_dir():
            raise UnwritableFile(f"{place}: {existing} is not a folder")
        if not os.access(existing, os.W_OK):
            raise UnwritableFile(f"{place}: {existing} may not be written to")
    if request.out and request.out.is_dir():
        raise UnwritableFile(f"{request.out} is a folder")
    progress_rows(folder / PROGRESS)


def _train(data: str, request: TrainRequest, chosen: MiMiOptions, *, world: World, say: Say) -> Trained | None:
    folder, device = Path(request.folder or ""), str(request.device)
    columns = {"image_column": request.image_column, "label_column": request.label_column}
    images = load_data(data, **columns, group_by=request.group_by)
    backbone = with_resize(load_backbone(request.backbone or BUNDLED, weights=request.weights), request.resize)
    say = say if world.first else _nothing
    say(f"{images.name}: reading {len(images.train):,} training images")
    prepared = prepare(images, backbone.preprocessing, validation=chosen.validation, seed=chosen.seed, say=say)
    say(f"{images.name}: {len(images.labels)} classes, {len(prepared.train):,} images to train on, on {device}")
    if request.method == "head":
        return _close(Job(prepared.to(device), backbone.to(device), chosen, folder, world=world), request, data)
    if request.statistics:
        check_data(prepared, backbone.feature_dim)
    with reporter_of(folder, world, board=request.tensorboard) as reporter:
        job = Job(prepared.to(device), backbone.to(device), chosen, folder, reporter, world)
        outcome = mimi.train_mimi(job)
    if not world.first:
        return None
    write_run_page(job, outcome)
    if request.statistics:
        outcome = replace(outcome, adapter=with_statistics(outcome.adapter, job.prepared, job.backbone))
        write_atomic(folder / ADAPTER, outcome.adapter)
    return Trained(task_of(data), outcome, _probe(job), _written(outcome, request, folder), folder / "report.html")


def _close(job: Job, request: TrainRequest, data: str) -> Trained | None:
    """A head in closed form in the place of a run; the first process does it alone."""
    if not job.world.first:
        return None
    made = head_file(job.prepared, job.backbone, job.options)
    outcome = Outcome(made, (result_of(unpack(made), 0, len(made)),), job.options, 0)
    job.folder.mkdir(parents=True, exist_ok=True)
    write_atomic(job.folder / ADAPTER, made)
    return Trained(task_of(data), outcome, _probe(job), _written(outcome, request, job.folder), None)


def _written(outcome: Outcome, request: TrainRequest, folder: Path) -> Path:
    """Where the task adapter file is, which is also written to the place that was asked for."""
    if request.out is None:
        return folder / ADAPTER
    request.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(request.out, outcome.adapter)
    return request.out


def _probe(job: Job) -> Mapping[str, float]:
    """The linear probe on the same images: seconds of work, and the least that adapters should reach."""
    model, validation, _ = train_linear_probe(job.prepared, job.backbone)
    test = {"test": evaluate(model, job.prepared.test)} if job.prepared.test else {}
    return {"validation": validation, **test}


def _nothing(text: str) -> None:
    """The output of all processes but the first: nothing."""


@contextmanager
def reporter_of(folder: Path, world: World, *, board: Path | None) -> Iterator[Reporter]:
    """The console, the progress file that the run's page is drawn from, and TensorBoard on request.

    Of several processes only the first reports.
    """
    if not world.first:
        yield Silent()
        return
    always = (Console(), ProgressFile(folder / PROGRESS))
    if board is None:
        yield Several(always)
        return
    with closing(Board(board)) as shown:
        yield Several((*always, shown))

"""`mimi train DATA`: a task adapter from labelled images."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mimi.errors import BadOption, UnwritableFile
from mimi.files import slug
from mimi.options import add_options, given
from mimi.presets import PRESETS
from training.options import FitOptions, MiMiOptions, PruningOptions

if TYPE_CHECKING:
    from training.mimi import Job, Outcome
    from training.parallel import World
    from training.progress import Reporter

HELP = "train a task adapter with MiMi, from labelled images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments: what to train on, and every choice of the algorithm."""
    parser.add_argument("data", help="class folders, Parquet, hf:NAME, a published NAME:FOLDER, or digits")
    parser.add_argument("--image-column", default="image", help="of a Parquet file or hub data set [%(default)s]")
    parser.add_argument("--label-column", default="label", help="of a Parquet file or hub data set [%(default)s]")
    parser.add_argument(
        "--group-by", default="", help="keep images together that share a column, a pattern of the path, or look-alike"
    )
    parser.add_argument("--resize", choices=("crop", "squash"), default="crop", help="images' proportions [crop]")
    parser.add_argument("--out", type=Path, help="where to write the task adapter file [in the run's folder]")
    parser.add_argument("--folder", type=Path, help="the run's folder; a run found there continues [runs/DATA]")
    parser.add_argument("--backbone", help="a timm architecture [the bundled backbone]")
    parser.add_argument("--weights", type=Path, help="a safetensors file with the backbone's weights")
    parser.add_argument("--device", help="cpu or cuda [cuda where there is one]")
    parser.add_argument("--tensorboard", type=Path, metavar="DIR", help="write what TensorBoard shows into this folder")
    parser.add_argument("--preset", choices=PRESETS, default="short", help="what the options below start from [short]")
    short = PRESETS["short"]
    add_options(parser, MiMiOptions, title="algorithm [default of the preset short]", defaults=short)
    add_options(parser, PruningOptions, title="pruning between cycles", defaults=short.pruning)
    add_options(parser, FitOptions, title="training of each cycle [default of the preset short]", defaults=short.fit)


def run(options: argparse.Namespace) -> int:
    """Train, and print the results."""
    from mimi.devices import chosen_device
    from training.parallel import join, leave

    chosen, device = choose(options), chosen_device(options.device)
    folder = options.folder or Path("runs") / _slug(options.data)
    _check_places(options, folder)
    world = join(device)
    try:
        job, outcome = _train(options, chosen, folder, world=world, device=device)
    except KeyboardInterrupt:
        if world.first:
            print("\ninterrupted: the same command continues this run from its last epoch", file=sys.stderr)
        raise
    finally:
        leave(world)
    if world.first:
        _tell(options, job, outcome)
    return 0


def _slug(data: str) -> str:
    """A name for the run's folder and the task: that of the data set, without what a path or an id may not have."""
    name = Path(data).resolve().stem if Path(data).exists() else data
    return slug(name)


def _check_places(options: argparse.Namespace, folder: Path) -> None:
    """Refuse places that cannot be written to or read, before anything is decoded.

    Raises:
        BadOption: the run's folder would become a class of the data set.
        UnwritableFile: a file is where a folder is needed, or the other way round.
    """
    from training.progress import PROGRESS, progress_rows

    data = Path(options.data)
    if data.is_dir() and folder.resolve().is_relative_to(data.resolve()):
        raise BadOption(f"the run's folder {folder} is inside the data set {data}: choose another with --folder")
    for place in filter(None, (folder, options.tensorboard, options.out and options.out.parent)):
        existing = next(path for path in (place.absolute(), *place.absolute().parents) if path.exists())
        if not existing.is_dir():
            raise UnwritableFile(f"{place}: {existing} is not a folder")
        if not os.access(existing, os.W_OK):
            raise UnwritableFile(f"{place}: {existing} may not be written to")
    if options.out and options.out.is_dir():
        raise UnwritableFile(f"{options.out} is a folder")
    progress_rows(folder / PROGRESS)


def _tell(options: argparse.Namespace, job: "Job", outcome: "Outcome") -> None:
    """The table of sizes, the linear probe beside it, and where everything is."""
    from mimi.files import write_file
    from training.cycles import results_table

    print(results_table(outcome.results))
    print(_probed(job, outcome))
    out = options.out or job.folder / "adapter.safetensors"
    if options.out:
        write_file(out, outcome.adapter)
    exported = outcome.results[outcome.exported]
    print(f"exported:     {exported.neurons} neurons, validation {exported.validation:.4f}")
    print(f"report:       {job.folder / 'report.html'}")
    print(f"task adapter: {out}\npublish it:   mimi publish {out} --task {_slug(options.data)}")


def _probed(job: "Job", outcome: "Outcome") -> str:
    """The linear probe on the same images: seconds of work, and the least that adapters should reach."""
    from training.fit import evaluate
    from training.linear_probe import train_linear_probe

    model, validation, _ = train_linear_probe(job.prepared, job.backbone)
    test = f", test {evaluate(model, job.prepared.test):.4f}" if job.prepared.test else ""
    line = f"linear probe: validation {validation:.4f}{test}"
    if validation > outcome.results[outcome.exported].validation:
        line += "\nwarning: the linear probe is better than the exported task adapter; train longer or try other rates"
    return line


def choose(options: argparse.Namespace) -> MiMiOptions:
    """The preset, with what was given on top; a rate that was given is not searched for.

    Raises:
        BadOption: a value, or values together, with which nothing could train.
    """
    preset = PRESETS[options.preset]
    algorithm, fit = given(options, MiMiOptions), given(options, FitOptions)
    if "warmup_epochs" not in fit and 1 <= fit.get("epochs", 0) <= preset.fit.warmup_epochs:
        fit["warmup_epochs"] = preset.fit.warmup_epochs * fit["epochs"] / preset.fit.epochs
    if "learning_rate" in fit:
        algorithm = {"learning_rates": ()} | algorithm
    try:
        pruning = replace(preset.pruning, **given(options, PruningOptions))
        return replace(preset, fit=replace(preset.fit, **fit), pruning=pruning, **algorithm)
    except ValueError as error:
        raise BadOption(str(error)) from error


def _train(
    options: argparse.Namespace, chosen: MiMiOptions, folder: Path, *, world: "World", device: str
) -> "tuple[Job, Outcome]":
    from backbone import BUNDLED, load_backbone
    from training.data import load_data
    from training.mimi import Job, train_mimi
    from training.prepare import prepare, with_resize
    from training.report.run_page import write_run_page

    columns = {"image_column": options.image_column, "label_column": options.label_column}
    data = load_data(options.data, **columns, group_by=options.group_by)
    backbone = with_resize(load_backbone(options.backbone or BUNDLED, weights=options.weights), options.resize)
    say = partial(print, flush=True) if world.first else _nothing
    say(f"{data.name}: reading {len(data.train):,} training images")
    prepared = prepare(data, backbone.preprocessing, validation=chosen.validation, seed=chosen.seed, say=say)
    say(f"{data.name}: {len(data.labels)} classes, {len(prepared.train):,} images to train on, on {device}")
    with _reporter(options, folder, world) as reporter:
        job = Job(prepared.to(device), backbone.to(device), chosen, folder, reporter, world)
        outcome = train_mimi(job)
    if world.first:
        write_run_page(job, outcome)
    return job, outcome


def _nothing(text: str) -> None:
    """What the other processes say."""


@contextmanager
def _reporter(options: argparse.Namespace, folder: Path, world: "World") -> "Iterator[Reporter]":
    """The console, the progress file that the run's page is drawn from, and TensorBoard on request.

    Of several processes only the first reports.
    """
    from training.progress import PROGRESS, Console, ProgressFile, Several, Silent
    from training.report.board import Board

    if not world.first:
        yield Silent()
        return
    always = (Console(), ProgressFile(folder / PROGRESS))
    if options.tensorboard is None:
        yield Several(always)
        return
    with closing(Board(options.tensorboard)) as board:
        yield Several((*always, board))

"""`mimi train DATA`: a task adapter from labelled images."""

import argparse
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mimi.errors import BadOption
from mimi.options import add_options, given
from mimi.presets import PRESETS
from training.options import FitOptions, MiMiOptions, PruningOptions

if TYPE_CHECKING:
    from training.mimi import Outcome
    from training.parallel import World
    from training.progress import Reporter

HELP = "train a task adapter with MiMi, from labelled images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments: what to train on, and every choice of the algorithm."""
    parser.add_argument("data", help="class folders, Parquet, hf:NAME, a published NAME:FOLDER, or digits")
    parser.add_argument("--image-column", default="image", help="of a Parquet file or hub data set [%(default)s]")
    parser.add_argument("--label-column", default="label", help="of a Parquet file or hub data set [%(default)s]")
    parser.add_argument("--out", type=Path, help="where to write the task adapter file [in the run's folder]")
    parser.add_argument("--folder", type=Path, help="the run's folder; a run that is found there goes on [runs/DATA]")
    parser.add_argument("--backbone", help="a timm architecture [the bundled backbone]")
    parser.add_argument("--weights", type=Path, help="a safetensors file with the backbone's weights")
    parser.add_argument("--device", help="cpu or cuda [cuda where there is one]")
    parser.add_argument("--tensorboard", type=Path, metavar="DIR", help="write what TensorBoard shows into this folder")
    parser.add_argument("--preset", choices=PRESETS, default="short", help="what the options below start from [short]")
    add_options(parser, MiMiOptions, title="algorithm [default of the preset paper]")
    add_options(parser, PruningOptions, title="pruning between cycles")
    add_options(parser, FitOptions, title="training of each cycle [default of the preset paper]")


def run(options: argparse.Namespace) -> int:
    """Train, and say what came of it."""
    from mimi.files import write_file
    from training.cycles import results_table
    from training.parallel import join, leave

    chosen = choose(options)
    folder = options.folder or Path("runs") / (re.sub(r"[^A-Za-z0-9_-]+", "-", options.data).strip("-") or "run")
    world = join()
    try:
        outcome = _train(options, chosen, folder, world)
    finally:
        leave(world)
    if not world.first:
        return 0
    print(results_table(outcome.results))
    out = options.out or folder / "adapter.safetensors"
    if options.out:
        write_file(out, outcome.adapter)
    print(f"report:       {folder / 'report.html'}")
    print(f"task adapter: {out}\npublish it:   mimi publish {out}")
    return 0


def choose(options: argparse.Namespace) -> MiMiOptions:
    """The preset, with what was given on top; a rate that was given is not searched for.

    Raises:
        BadOption: a value, or values together, with which nothing could train.
    """
    preset = PRESETS[options.preset]
    algorithm, fit = given(options, MiMiOptions), given(options, FitOptions)
    if "learning_rate" in fit:
        algorithm = {"learning_rates": ()} | algorithm
    try:
        pruning = replace(preset.pruning, **given(options, PruningOptions))
        return replace(preset, fit=replace(preset.fit, **fit), pruning=pruning, **algorithm)
    except ValueError as error:
        raise BadOption(str(error)) from error


def _train(options: argparse.Namespace, chosen: MiMiOptions, folder: Path, world: "World") -> "Outcome":
    import torch

    from backbone import BUNDLED, load_backbone
    from training.data import load_data
    from training.mimi import Job, train_mimi
    from training.prepare import prepare
    from training.report.run_page import write_run_page

    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    data = load_data(options.data, image_column=options.image_column, label_column=options.label_column)
    backbone = load_backbone(options.backbone or BUNDLED, weights=options.weights)
    prepared = prepare(data, backbone.preprocessing, validation=chosen.validation, seed=chosen.seed)
    print(f"{data.name}: {len(data.labels)} classes, {len(prepared.train)} images to train on, on {device}")
    with _reporter(options, folder, world) as reporter:
        job = Job(prepared, backbone.to(device), chosen, folder, reporter, world)
        outcome = train_mimi(job)
    if world.first:
        write_run_page(job, outcome)
    return outcome


@contextmanager
def _reporter(options: argparse.Namespace, folder: Path, world: "World") -> "Iterator[Reporter]":
    """The console, the progress file that the run's page is drawn from, and TensorBoard where it is asked for.

    Of several processes only the first tells.
    """
    from training.progress import PROGRESS, Console, ProgressFile, Several, Silent
    from training.report.board import Board

    if not world.first:
        yield Silent()
        return
    told = (Console(), ProgressFile(folder / PROGRESS))
    if options.tensorboard is None:
        yield Several(told)
        return
    with closing(Board(options.tensorboard)) as board:
        yield Several((*told, board))

"""`mimi train DATA`: a task adapter from labelled images. `training.command` does the work."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mimi.parameters import Fields, Given, Json
from training.options import FitOptions, MiMiOptions, PruningOptions, TrainRequest
from training.presets import PRESETS

if TYPE_CHECKING:
    from training.command import Trained

_SHORT = PRESETS["short"]
_DATA = "class folders, Parquet, hf:NAME, a published NAME:FOLDER, or digits"


def train(
    data: Annotated[str, typer.Argument(metavar="DATA", help=_DATA)],
    request: Annotated[TrainRequest, "Options"],
    algorithm: Annotated[Fields, Given(MiMiOptions, "Algorithm (defaults of the preset short)", _SHORT)],
    pruning: Annotated[Fields, Given(PruningOptions, "Pruning between cycles", _SHORT.pruning)],
    fit: Annotated[Fields, Given(FitOptions, "Training of each cycle (defaults of the preset short)", _SHORT.fit)],
    json: Json = False,
) -> int:
    """Train a task adapter with MiMi, from labelled images.

    The same command continues a run that was stopped. Several values of an option stand between commas; `none` stands
    for no value. Without this command's packages, `python -m training train` does the same.
    """
    from mimi.terminal import print_json, say
    from training.command import choose
    from training.command import train as work

    chosen = choose(request.preset, algorithm, pruning, fit, method=request.method)
    trained = work(data, request, chosen, say=say if json else _print)
    if trained:
        print_json(_document(trained)) if json else print(trained.text)
    return 0


def _print(text: str) -> None:
    print(text, flush=True)


def _document(trained: "Trained") -> dict[str, Any]:
    return {
        "task": trained.task,
        "file": str(trained.out),
        "report": None if trained.report is None else str(trained.report),
        "exported": trained.outcome.exported,
        "sizes": [asdict(result) for result in trained.outcome.results],
        "linear_probe": dict(trained.probe),
        "linear_probe_is_better": trained.probe_is_better,
        "options": trained.outcome.options.as_dict(),
    }

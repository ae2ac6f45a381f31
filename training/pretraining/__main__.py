"""Trains the bundled backbone's architecture from scratch.

    python -m training.pretraining DATA --folder DIR [--epochs 100 …]

DATA is an image folder or a folder of Parquet files with a held-back split. DIR gets a checkpoint after every epoch
and at the end `model.safetensors`, which `--weights` and the package's own `weights` folder take.
"""

import argparse
from pathlib import Path

import torch

from backbone import load_backbone, shipped_config
from training.data import check, load_data
from training.data.errors import MissingPath
from training.pixels import decode_all
from training.prepare import public_name
from training.pretraining.options import PretrainOptions
from training.pretraining.recipe import Pretraining
from training.pretraining.run import Images, pretrain
from training.progress import Console


def main() -> None:
    """Parse the command line, train, and say where the weights lie."""
    given = _parse()
    images = load_images(given.data)
    classes = int(images.train.targets.max()) + 1
    options = PretrainOptions(**{name: getattr(given, name) for name in PretrainOptions.__dataclass_fields__})
    config = shipped_config()
    state = Pretraining.begin(config["model_args"], classes, options, load_backbone().preprocessing)
    state.model.to(given.device)
    state.average.to(given.device)
    pretrain(state, images, given.folder, Console())
    print(f"validation top-1 {state.evaluate(images.held_back):.4f}; weights: {given.folder / 'model.safetensors'}")


def load_images(spec: str) -> Images:
    """Every image decoded to the backbone's size.

    Raises:
        MissingPath: there is no held-back split.
        DataError: one of its kinds, naming what is to blame.
    """
    data, preprocessing = load_data(spec), load_backbone().preprocessing
    held_back = data.test or data.validation
    if held_back is None:
        raise MissingPath(f"{spec}: a held-back split is needed, such as validation.parquet")
    check(data)
    train = decode_all(data.train, preprocessing, range(len(data.train)))
    return Images(public_name(spec), train, decode_all(held_back, preprocessing, range(len(held_back))))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="training.pretraining", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="images with a held-back split, as `mimi train` takes them")
    parser.add_argument("--folder", type=Path, default=Path("var/pretraining"), help="checkpoint and weights")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for name, field in PretrainOptions.__dataclass_fields__.items():
        kind = type(field.default)
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=field.default, help=f"[{field.default}]")
    return parser.parse_args()


if __name__ == "__main__":
    main()

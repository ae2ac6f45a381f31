"""Image folders: one folder a class, under `train/` and `test/` or directly.

Every file below a class folder must be an image, so that a stray file is an error. Only hidden files and the files of
file managers are ignored. Only names are read here; images are read later, one by one.
"""

from pathlib import Path

import numpy as np

from training.data.errors import MissingPath, TooFewImages, UnknownLabel
from training.data.files import FileSet
from training.data.sets import HELD_BACK, Data

_IGNORED = ("thumbs.db", "desktop.ini")


def load_folder(root: Path, name: str) -> Data:
    """Read the names under `root`; class names are folder names in sorted order.

    Raises:
        MissingPath: there is a test split but no `train/`.
        TooFewImages: there is no class folder.
        UnknownLabel: the test split has a class folder that the training split lacks.
    """
    held_back = next((root / part for part in HELD_BACK if (root / part).is_dir()), None)
    train_root = root / "train" if (root / "train").is_dir() else root
    if train_root == root and held_back is not None:
        raise MissingPath(f"{root}: it has {held_back.name}/ but no train/")
    labels = tuple(folder.name for folder in _folders(train_root))
    if not labels:
        raise TooFewImages(f"{train_root}: no class folders in it")
    test = None if held_back is None else _split(held_back, labels)
    return Data(name, labels, _split(train_root, labels), test)


def _split(root: Path, labels: tuple[str, ...]) -> FileSet:
    targets: list[int] = []
    files: list[Path] = []
    for folder in _folders(root):
        if folder.name not in labels:
            raise UnknownLabel(f"{folder}: the training split has no class of this name")
        found = _files(folder)
        files += found
        targets += [labels.index(folder.name)] * len(found)
    return FileSet(str(root), labels, np.array(targets, np.int64), tuple(files))


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not _passed_over(path.relative_to(folder)))


def _passed_over(path: Path) -> bool:
    return path.name.lower() in _IGNORED or any(part.startswith(".") for part in path.parts)

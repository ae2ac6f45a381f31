"""Image folders: one folder a class, under a folder for each split or directly.

A folder is a split where it has the name of one (see `training.data.sets.SPLITS`, in any case) and class folders in it.
A class may be called "test": its folder has images in it. Every file below a class folder must be an image: a stray
file is an error, so no image is left out silently. Only hidden files and the files of file managers are ignored. Linked
folders are followed. Broken links and unreadable folders are errors. Only names are read here; images are read later,
one by one.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from training.data.errors import MissingPath, TooFewImages, UnknownLabel, UnreadableFile
from training.data.files import IMAGES, FileSet
from training.data.sets import Data, split_of, splits_among

_IGNORED = ("thumbs.db", "desktop.ini")


def load_folder(root: Path, name: str) -> Data:
    """Read the names under `root`; class names are folder names in sorted order.

    Raises:
        MissingPath: there is a test or validation split but no training split, or a link to nothing.
        TooFewImages: there is no class folder.
        UnknownLabel: another split has a class that the training split lacks, or an image or a folder is in no split
            or class.
        UnknownSource: two folders are the same split.
        UnreadableFile: a folder cannot be read.
    """
    roots = _splits(root)
    if "train" not in roots and roots:
        raise MissingPath(f"{root}: it has {next(iter(roots.values())).name}/ but no train/")
    train_root = roots.get("train", root)
    labels = tuple(folder.name for folder in _folders(train_root))
    if not labels:
        raise TooFewImages(f"{train_root}: no class folders in it")
    held_back = {split: _split(roots[split], labels) for split in ("validation", "test") if split in roots}
    return Data(name, labels, _split(train_root, labels), held_back.get("test"), validation=held_back.get("validation"))


def _splits(root: Path) -> dict[str, Path]:
    """The folder of each split; nothing if the folders are classes."""
    folders = _folders(root)
    named = [folder for folder in folders if split_of(folder.name) and _folders(folder)]
    found = splits_among([folder.name for folder in named], str(root))
    if "train" in found and (others := [folder for folder in folders if folder not in named]):
        raise UnknownLabel(f"{others[0]}: beside {found['train']}/ it is neither a split nor a class")
    return {split: root / folder for split, folder in found.items()}


def _split(root: Path, labels: tuple[str, ...]) -> FileSet:
    stray = next((path for path in _entries(root) if path.suffix.lower() in IMAGES and not path.is_dir()), None)
    if stray is not None:
        raise UnknownLabel(f"{stray}: an image outside of every class folder")
    targets: list[int] = []
    files: list[Path] = []
    for folder in _folders(root):
        if folder.name not in labels:
            raise UnknownLabel(f"{folder}: the training split has no class of this name")
        found = sorted(_files(folder, frozenset()))
        files += found
        targets += [labels.index(folder.name)] * len(found)
    return FileSet(str(root), labels, np.array(targets, np.int64), tuple(files))


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in _entries(root) if path.is_dir())


def _files(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    """Every file below `folder`; `above` are the real paths of the folders it is in, so that no link is a circle."""
    real = os.path.realpath(folder)
    if real in above:
        raise UnreadableFile(f"{folder}: a link to a folder that it is in")
    for path in _entries(folder):
        if path.is_dir():
            yield from _files(path, above | {real})
        else:
            yield path


def _entries(folder: Path) -> list[Path]:
    """Files and folders in `folder`, but the ignored ones.

    Raises:
        MissingPath: one is a link to nothing.
        UnreadableFile: the folder cannot be read.
    """
    try:
        found = [path for path in folder.iterdir() if not _is_ignored(path.name)]
    except OSError as error:
        raise UnreadableFile(f"{folder}: {error.strerror}") from error
    missing = next((path for path in sorted(found) if not path.exists()), None)
    if missing is not None:
        raise MissingPath(f"{missing}: a link to nothing")
    return found


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in _IGNORED

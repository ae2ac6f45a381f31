"""Image folders: one folder a class, under `train/` and `test/` or directly.

Every file below a class folder must be an image, so that a stray file is noticed and not skipped; only hidden files
and the droppings of file managers are passed over. Reads nothing but names until an image is asked for.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.errors import MissingPath, TooFewImages, UnknownLabel, UnreadableImage
from training.data.sets import HELD_BACK, Data, decode_from

_IGNORED = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True, slots=True, eq=False)
class FolderSet:
    """The images of one split, in the order of their paths."""

    name: str
    labels: tuple[str, ...]
    targets: NDArray[np.int64]  # (n,)
    files: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.files)

    def image(self, i: int) -> Image.Image:
        """Image `i`, read and decoded now."""
        try:
            data = self.files[i].read_bytes()
        except OSError as error:
            raise UnreadableImage(f"{self.where(i)}: {error.strerror}") from error
        return decode_from(data, self.where(i))

    def where(self, i: int) -> str:
        """Its path."""
        return str(self.files[i])


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


def _split(root: Path, labels: tuple[str, ...]) -> FolderSet:
    targets: list[int] = []
    files: list[Path] = []
    for folder in _folders(root):
        if folder.name not in labels:
            raise UnknownLabel(f"{folder}: the training split has no class of this name")
        found = _files(folder)
        files += found
        targets += [labels.index(folder.name)] * len(found)
    return FolderSet(str(root), labels, np.array(targets, np.int64), tuple(files))


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not _passed_over(path.relative_to(folder)))


def _passed_over(path: Path) -> bool:
    return path.name.lower() in _IGNORED or any(part.startswith(".") for part in path.parts)

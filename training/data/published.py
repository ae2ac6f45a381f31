"""CIFAR-10, CIFAR-100, SVHN and Flowers-102 as their authors publish them, read by torchvision from a local folder.

Nothing is downloaded. torchvision compares the checksum of every file with the published one before it opens the file.
So CIFAR's own pickles are the only ones that are ever loaded.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.errors import MissingPath, UnreadableFile
from training.data.files import PUBLISHED_LIMITS, FileSet
from training.data.sets import Data, check_range

Split = Any  # a torchvision data set; their annotations say Any where we rely on arrays


def load_cifar10(root: Path, name: str) -> Data:
    """50,000 and 10,000 images of 10 classes, from `root`/cifar-10-batches-py (Krizhevsky 2009).

    Raises:
        MissingPath, UnreadableFile, UnknownLabel: see training.data.errors.
    """
    from torchvision.datasets import CIFAR10  # noqa: PLC0415 - only needed here

    return _load_cifar(CIFAR10, root, name)


def load_cifar100(root: Path, name: str) -> Data:
    """50,000 and 10,000 images of 100 classes, from `root`/cifar-100-python (Krizhevsky 2009).

    Raises:
        MissingPath, UnreadableFile, UnknownLabel: see training.data.errors.
    """
    from torchvision.datasets import CIFAR100  # noqa: PLC0415 - only needed here

    return _load_cifar(CIFAR100, root, name)


def load_svhn(root: Path, name: str) -> Data:
    """73,257 and 26,032 cropped digits, without the extra set (Netzer et al. 2011).

    Raises:
        MissingPath, UnreadableFile, UnknownLabel: see training.data.errors.
    """
    from torchvision.datasets import SVHN  # noqa: PLC0415 - only needed here

    files = [root / f"{part}_32x32.mat" for part in ("train", "test")]
    remedy = f"put train_32x32.mat and test_32x32.mat of SVHN (format 2, cropped digits) in {root}"
    _require(name, files, remedy)
    labels = tuple(str(digit) for digit in range(10))

    def split(part: str, file: Path) -> ArraySet:
        opened = _opened(name, partial(SVHN, root, part), remedy)
        return array_set(str(file), labels, opened.labels, opened.data.transpose(0, 2, 3, 1))  # from (n, 3, H, W)

    return Data(name, labels, split("train", files[0]), split("test", files[1]))


def load_flowers102(root: Path, name: str) -> Data:
    """2,040 images, the official train and val, and 6,149 of test, of 102 flowers (Nilsback and Zisserman 2008).

    Raises:
        MissingPath, UnreadableFile, UnknownLabel: see training.data.errors.
    """
    from torchvision.datasets import Flowers102  # noqa: PLC0415 - only needed here

    folder = root / "flowers-102"
    remedy = f"put imagelabels.mat and setid.mat in {folder}, and unpack 102flowers.tgz there, which makes jpg/"
    _require(name, [folder / file for file in ("imagelabels.mat", "setid.mat", "jpg")], remedy)

    def entries(part: str) -> list[tuple[Path, int]]:
        opened = _opened(name, partial(Flowers102, root, part, loader=Path), remedy)
        return [opened[i] for i in range(len(opened))]

    labels = tuple(Flowers102.classes)
    train, test = [*entries("train"), *entries("val")], entries("test")
    _require(name, (file for file, _ in [*train, *test]), remedy)
    return Data(name, labels, _files(f"{folder} (train)", labels, train), _files(f"{folder} (test)", labels, test))


def _load_cifar(kind: Any, root: Path, name: str) -> Data:  # noqa: ANN401 - a torchvision class
    folder = root / kind.base_folder
    remedy = f"unpack {kind.filename} (the Python version) in {root}, which makes {kind.base_folder}/"
    files = [file for file, _ in (*kind.train_list, *kind.test_list)]
    _require(name, [folder / file for file in (*files, kind.meta["filename"])], remedy)
    train, test = (_opened(name, partial(kind, root, train=part), remedy) for part in (True, False))
    labels = tuple(train.classes)
    return Data(
        name,
        labels,
        array_set(f"{folder} (train)", labels, train.targets, train.data),
        array_set(f"{folder} (test)", labels, test.targets, test.data),
    )


def _opened(name: str, open_split: Callable[[], Split], remedy: str) -> Split:
    """A split of torchvision's, or one clear error."""
    try:
        return open_split()
    except RuntimeError as error:  # what torchvision raises for a checksum that differs
        raise UnreadableFile(f"{name}: a file is not as it was published, its checksum differs; {remedy}") from error


def _require(name: str, files: Iterable[Path], remedy: str) -> None:
    missing = next((file for file in files if not file.exists()), None)
    if missing is not None:
        raise MissingPath(f"{name}: {missing} does not exist; {remedy}")


def _files(name: str, labels: tuple[str, ...], entries: list[tuple[Path, int]]) -> FileSet:
    targets = np.array([target for _, target in entries], np.int64)
    check_range(targets, len(labels), name, "image")
    return FileSet(name, labels, targets, tuple(file for file, _ in entries), PUBLISHED_LIMITS)


@dataclass(frozen=True, slots=True, eq=False)
class ArraySet:
    """The images of one split."""

    name: str
    labels: tuple[str, ...]
    targets: NDArray[np.int64]  # (n,)
    pixels: NDArray[np.uint8]  # (n, H, W, 3), any order in memory

    def __len__(self) -> int:
        return len(self.targets)

    def image(self, i: int) -> Image.Image:
        """Image `i`."""
        return Image.fromarray(np.ascontiguousarray(self.pixels[i]))

    def where(self, i: int) -> str:
        """Its place in the array."""
        return f"{self.name}: image {i}"


def array_set(name: str, labels: tuple[str, ...], targets: Sequence[int], pixels: NDArray[np.uint8]) -> ArraySet:
    """One split; `pixels` is (n, H, W, 3) and `targets` has n classes.

    Raises:
        UnreadableFile: there are more images than labels, or fewer.
        UnknownLabel: a target is no index into `labels`.
    """
    classes = np.asarray(targets, np.int64).reshape(-1)
    if len(classes) != len(pixels):
        raise UnreadableFile(f"{name}: {len(pixels)} images but {len(classes)} labels")
    check_range(classes, len(labels), name, "image")
    return ArraySet(name, labels, classes, pixels)

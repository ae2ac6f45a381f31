"""Lists of images: one line an image, with its path under a folder, a space, and the number of its class.

The splits of DomainNet and VTAB-1k are published in this form. Nothing is decoded here, but every file must exist: an
incompletely unpacked set is found before hours of training.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.errors import MissingPath, TooFewImages, UnknownLabel, UnreadableFile
from training.data.files import PUBLISHED_LIMITS, FileSet
from training.data.sets import Data, check_range


class Listed(NamedTuple):
    """The files of a list and their classes, in its order."""

    files: tuple[Path, ...]
    targets: NDArray[np.int64]  # (n,)


def read_list(path: Path, folder: Path, *, classes: int, remedy: str) -> Listed:
    """Read a list whose paths are under `folder`; `remedy` ends every message about a file that is not there.

    Raises:
        MissingPath: the list or an image in it does not exist.
        UnreadableFile: it is no text, or a line is not a path and a number.
        UnknownLabel: a number is not below `classes`.
        TooFewImages: there is no line in it.
    """
    entries = [_parse(path, number, line) for number, line in enumerate(_lines(path, remedy), 1)]
    if not entries:
        raise TooFewImages(f"{path}: no image in it")
    targets = np.array([target for _, target in entries], np.int64)
    check_range(targets, classes, str(path), "line", first=1)
    files = tuple(folder / entry for entry, _ in entries)
    missing = next((i for i, file in enumerate(files) if not file.is_file()), None)
    if missing is not None:
        raise MissingPath(f"{path}: line {missing + 1} names {files[missing]}, which does not exist; {remedy}")
    return Listed(files, targets)


def joined(*parts: Listed) -> Listed:
    """Several lists, one after another."""
    files = tuple(file for part in parts for file in part.files)
    return Listed(files, np.concatenate([part.targets for part in parts]))


def _lines(path: Path, remedy: str) -> list[str]:
    """The lines, without empty ones at the end."""
    try:
        return path.read_text(encoding="utf-8").rstrip().splitlines()
    except FileNotFoundError as error:
        raise MissingPath(f"{path} does not exist; {remedy}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFile(f"{path}: not a readable list of images ({error})") from error


def _parse(path: Path, number: int, line: str) -> tuple[str, int]:
    """Path and class; a path may hold spaces."""
    try:
        entry, label = line.rsplit(maxsplit=1)
        return entry, int(label)
    except ValueError as error:
        raise UnreadableFile(f"{path}: line {number} is not a path and a class number: {line[:80]!r}") from error


DOMAINS = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")
_DOMAINNET_CLASSES = 345


def load_domainnet(domain: str, root: Path, name: str) -> Data:
    """One domain of DomainNet (Peng et al. 2019), which has six of 345 classes; each domain is a task of its own.

    Files are `root`/<domain>_train.txt, `root`/<domain>_test.txt and the folder `root`/<domain>. For clipart and
    painting the authors offer a cleaned set, and the protocol counts that one. Class names are the folders of the
    images.

    Raises:
        MissingPath, UnreadableFile, UnknownLabel, TooFewImages: see training.data.errors.
    """
    remedy = (
        f"put DomainNet's {domain}_train.txt and {domain}_test.txt in {root}, "
        f"and unpack {domain}.zip there, which makes {domain}/"
    )
    lists = [root / f"{domain}_{part}.txt" for part in ("train", "test")]
    train, test = (read_list(path, root, classes=_DOMAINNET_CLASSES, remedy=remedy) for path in lists)
    labels = _class_names(joined(train, test), domain, root)
    return Data(
        name,
        labels,
        FileSet(str(lists[0]), labels, train.targets, train.files, PUBLISHED_LIMITS),
        FileSet(str(lists[1]), labels, test.targets, test.files, PUBLISHED_LIMITS),
        fixed_labels=True,
    )


def _class_names(listed: Listed, domain: str, root: Path) -> tuple[str, ...]:
    """The folder of each class; the number of a class that has no image at all."""
    names: dict[int, str] = {}
    for file, target in zip(listed.files, listed.targets.tolist(), strict=True):
        folder = file.parent.name
        if names.setdefault(target, folder) != folder:
            raise UnknownLabel(f"{root}: the lists of {domain} give class {target} to {names[target]!r} and {folder!r}")
    if len(set(names.values())) < len(names):
        raise UnknownLabel(f"{root}: the lists of {domain} give two classes to one folder")
    return tuple(names.get(target, str(target)) for target in range(_DOMAINNET_CLASSES))


VTAB_TASKS = {  # classes of each
    # natural
    "caltech101": 102,
    "cifar": 100,
    "dtd": 47,
    "oxford_flowers102": 102,
    "oxford_iiit_pet": 37,
    "svhn": 10,
    "sun397": 397,
    # specialised
    "patch_camelyon": 2,
    "eurosat": 10,
    "resisc45": 45,
    "diabetic_retinopathy": 5,
    # structured
    "clevr_count": 8,
    "clevr_dist": 6,
    "dmlab": 6,
    "kitti": 4,
    "dsprites_loc": 16,
    "dsprites_ori": 16,
    "smallnorb_azi": 18,
    "smallnorb_ele": 9,
}
_VTAB_TRAIN = "train800val200.txt"
_VTAB_PARTS = ("train800.txt", "val200.txt")
_VTAB_TEST = "test.txt"


def load_vtab(task: str, root: Path, name: str) -> Data:
    """One task of VTAB-1k (Zhai et al. 2019): 19 tasks of 1,000 labelled images each.

    Files are under `root`/<task>. With train800.txt and val200.txt the cut is the benchmark's own: 800 images to train
    on, 200 to choose by. With train800val200.txt alone, a validation split is taken out of the 1,000 images, as for
    every other set. Among so few images some classes of the protocol may have none. The lists number the classes and
    name none, so a label here is a number.

    Raises:
        MissingPath, UnreadableFile, UnknownLabel, TooFewImages: see training.data.errors.
    """
    folder = root / task
    remedy = (
        f"put the folder {task} of VTAB-1k's images and lists in {root}: "
        f"{_VTAB_TRAIN} (or {' and '.join(_VTAB_PARTS)}), {_VTAB_TEST} and images/"
    )
    labels = tuple(str(number) for number in range(VTAB_TASKS[task]))

    official = all((folder / part).exists() for part in _VTAB_PARTS)
    if not official and not (folder / _VTAB_TRAIN).exists():
        raise MissingPath(f"{name}: {folder / _VTAB_TRAIN} does not exist; {remedy}")

    def split(file: str) -> FileSet:
        listed = read_list(folder / file, folder, classes=len(labels), remedy=remedy)
        return FileSet(str(folder / file), labels, listed.targets, listed.files, PUBLISHED_LIMITS)

    if official:
        train, validation = (split(part) for part in _VTAB_PARTS)
        return Data(name, labels, train, split(_VTAB_TEST), fixed_labels=True, validation=validation)
    return Data(name, labels, split(_VTAB_TRAIN), split(_VTAB_TEST), fixed_labels=True)

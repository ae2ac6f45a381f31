"""VTAB-1k (Zhai et al. 2019): 19 tasks of 1,000 training images each, as folders of images with lists.

A task trains on all 1,000 images. The benchmark's own cut into 800 and 200 is for choosing hyper-parameters; here, as
for every other set, a validation split is carved from the training images instead, stratified and seeded, and
MiMi's released code does a third thing: it trains on the 800 and never sees the 200. State which, when comparing.

Classes are the protocol's and not those that happen to be drawn: among 1,000 images of Sun397's 397 classes, some may
have none. The lists number the classes and name none, so a label here is a number.
"""

from pathlib import Path

from training.data.errors import MissingPath
from training.data.files import PUBLISHED_LIMITS, FileSet
from training.data.lists import joined, read_list
from training.data.sets import Data

TASKS = {  # classes of each
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
_TRAIN = "train800val200.txt"
_PARTS = ("train800.txt", "val200.txt")
_TEST = "test.txt"


def load_vtab(task: str, root: Path, name: str) -> Data:
    """One task, from `root`/<task>: train800val200.txt, else train800.txt with val200.txt, and test.txt.

    Raises:
        MissingPath, UnreadableFile, UnknownLabel, TooFewImages: see training.data.errors.
    """
    folder = root / task
    remedy = (
        f"put the folder {task} of VTAB-1k's images and lists in {root}: "
        f"{_TRAIN} (or {' and '.join(_PARTS)}), {_TEST} and images/"
    )
    labels = tuple(str(number) for number in range(TASKS[task]))

    sources = (_TRAIN,) if (folder / _TRAIN).exists() else _PARTS
    if not all((folder / source).exists() for source in sources):
        raise MissingPath(f"{name}: {folder / _TRAIN} does not exist; {remedy}")

    def split(*files: str) -> FileSet:
        listed = joined(*(read_list(folder / file, folder, classes=len(labels), remedy=remedy) for file in files))
        return FileSet(str(folder / " + ".join(files)), labels, listed.targets, listed.files, PUBLISHED_LIMITS)

    return Data(name, labels, split(*sources), split(_TEST), fixed_labels=True)

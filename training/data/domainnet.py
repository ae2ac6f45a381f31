"""DomainNet (Peng et al. 2019): six domains of 345 classes, each with a training and a test list.

One task a domain, nothing adapted across domains. For clipart and painting the authors offer a cleaned set, and it is
that one which the protocol counts. The names of the classes are the folders that the images lie in.
"""

from pathlib import Path

from training.data.errors import UnknownLabel
from training.data.files import PUBLISHED_LIMITS, FileSet
from training.data.lists import Listed, joined, read_list
from training.data.sets import Data

DOMAINS = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")
CLASSES = 345


def load_domainnet(domain: str, root: Path, name: str) -> Data:
    """One domain, from `root`/<domain>_train.txt, `root`/<domain>_test.txt and the folder `root`/<domain>.

    Raises:
        MissingPath, UnreadableFile, UnknownLabel, TooFewImages: see training.data.errors.
    """
    remedy = (
        f"put DomainNet's {domain}_train.txt and {domain}_test.txt in {root}, "
        f"and unpack {domain}.zip there, which makes {domain}/"
    )
    lists = [root / f"{domain}_{part}.txt" for part in ("train", "test")]
    train, test = (read_list(path, root, classes=CLASSES, remedy=remedy) for path in lists)
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
    return tuple(names.get(target, str(target)) for target in range(CLASSES))

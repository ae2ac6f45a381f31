"""Finds the source that reads the data set of the user's specification. It reads nothing itself."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from training.data.arrow import Columns, has_parquet, load_hub, load_parquet
from training.data.digits import NAMES, load_digits_data
from training.data.errors import MissingPath, UnknownSource, WrongColumn
from training.data.folder import load_folder
from training.data.groups import groups_of
from training.data.listing import SUFFIXES, load_listing, load_metadata
from training.data.lists import DOMAINS, VTAB_TASKS, load_domainnet, load_vtab
from training.data.published import load_cifar10, load_cifar100, load_flowers102, load_svhn
from training.data.sets import Data

HUB = "hf"
BUILT_IN = "built-in"

# Published sets by name: a function that reads the set from its folder and gives it a name.
PUBLISHED: Mapping[str, Callable[[Path, str], Data]] = {
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
    "flowers102": load_flowers102,
    "svhn": load_svhn,
    **{f"domainnet/{domain}": partial(load_domainnet, domain) for domain in DOMAINS},
    **{f"vtab/{task}": partial(load_vtab, task) for task in VTAB_TASKS},
}
_FAMILIES = ("domainnet", "vtab")


def load_data(spec: str, *, image_column: str = "image", label_column: str = "label", group_by: str = "") -> Data:
    """Load the data set that `spec` names; images are decoded later.

    Args:
        spec: `digits`, `digits-demo`, `digits-parity` or `digits-labels`, also behind `built-in:`; a folder of class
            folders, or with `train/` and `test/`; a Parquet file, or a folder with `train.parquet` and `test.parquet`;
            a CSV or JSON Lines file of paths and labels, or a folder with such a `metadata` file; `hf:` and a name on
            the hub; the name of a published set (`PUBLISHED`), a colon and the folder it lies in, such as
            `vtab/dtd:data/vtab-1k`.
        image_column: column of encoded images, if there are columns.
        label_column: column of labels, if there are columns; of a listing also several, with commas between them.
        group_by: what training images belong together by, see training.data.groups; empty: nothing.

    Raises:
        DataError: one of its kinds, naming the file, folder or row at fault.
    """
    data = _load(spec, Columns(image_column, label_column, group_by))
    return replace(data, groups=groups_of(data.train, group_by)) if group_by else data


def _load(spec: str, columns: Columns) -> Data:
    source, rest = split_spec(spec)
    if source == HUB:
        return load_hub(rest, spec, columns)
    if source:
        _refuse_columns(spec, columns)
    if source == BUILT_IN:
        return load_digits_data(rest)
    if source:
        return PUBLISHED[source](Path(rest).expanduser(), source)
    return _load_path(Path(spec), spec, columns)


def split_spec(spec: str) -> tuple[str, str]:
    """`hf`, `built-in` or the name of a published set, and the text behind its colon; ("", `spec`) for a path.

    Raises:
        UnknownSource: a name is both a built-in set and a path here, a published set does not exist, or its folder is
            missing.
    """
    name, colon, rest = spec.partition(":")
    if colon and name == HUB:
        return name, rest
    if spec in NAMES and Path(spec).exists():
        raise UnknownSource(f"{spec} is a built-in set and a path here: write ./{spec} or {BUILT_IN}:{spec}")
    if spec in NAMES or (name == BUILT_IN and rest in NAMES):
        return BUILT_IN, rest or spec
    if name in PUBLISHED and (rest or not Path(spec).exists()):
        if not rest:
            raise UnknownSource(f"{spec}: say where it lies: {name}:FOLDER")
        return name, rest
    family = name.partition("/")[0]
    if colon and family in _FAMILIES and not Path(spec).exists():
        known = ", ".join(key for key in PUBLISHED if key.startswith(f"{family}/"))
        raise UnknownSource(f"{spec}: there is no {name}; there are {known}")
    return "", spec


def _load_path(path: Path, spec: str, columns: Columns) -> Data:
    if not path.exists():
        known = ", ".join([*NAMES, *(f"{key}:FOLDER" for key in PUBLISHED if "/" not in key)])
        families = " and ".join(f"{family}/…:FOLDER" for family in _FAMILIES)
        raise MissingPath(f"{spec}: no such file or folder (built in are {known}, {families})")
    if path.suffix == ".parquet" or (path.is_dir() and has_parquet(path)):
        return load_parquet(path, spec, columns)
    if path.suffix.lower() in SUFFIXES and path.is_file():
        return load_listing(path, spec, columns)
    if not path.is_dir():
        raise UnknownSource(f"{spec}: neither a folder of images nor a Parquet, CSV or JSON Lines file")
    if (listed := load_metadata(path, spec, columns)) is not None:
        return listed
    _refuse_columns(spec, columns)
    return load_folder(path, spec)


def _refuse_columns(spec: str, columns: Columns) -> None:
    if columns != Columns(group=columns.group):
        raise WrongColumn(f"{spec}: it has no columns to choose from; only tables have, and hf: sets")

"""Images that belong together, such as the frames of one track: a split must not separate them.

a column                of a Parquet file or hub set: rows of one value are one group
a regular expression    found in an image's path: what it matches, or its parentheses hold, names the group
"look-alike"            where nothing says it: images of one class whose thumbnails correlate
"""

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from training.data.arrow import TableSet
from training.data.errors import WrongColumn
from training.data.files import FileSet
from training.data.sets import ImageSet, strata_of

LOOK_ALIKE = "look-alike"
_SIDE = 16  # pixels of a thumbnail
_ALIKE = 0.8  # correlation of two grey thumbnails, from which on they are one group


def groups_of(images: ImageSet, group_by: str) -> NDArray[np.int64]:
    """The group (n,) of every image, numbered from 0.

    Raises:
        WrongColumn: there is no such column, the expression is none or does not match a path, or images have no paths.
        UnreadableImage: an image does not decode, with "look-alike".
    """
    if group_by == LOOK_ALIKE:
        return _alike(images)
    if isinstance(images, TableSet) and images.group is not None:
        return _numbered(images.group.to_pylist())
    return _numbered(_matched(images, group_by))


def _matched(images: ImageSet, group_by: str) -> list[str]:
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise WrongColumn(f"{images.name}: group_by {group_by!r} is no regular expression: {error}") from error
    paths = _paths(images, group_by)
    found = [pattern.search(path) for path in paths]
    if None in found:
        path = paths[found.index(None)]
        raise WrongColumn(f"{images.name}: group_by {group_by!r} is no column and matches nothing in {path!r}")
    return ["\0".join(match.groups("") or (match[0],)) for match in found if match]


def _paths(images: ImageSet, group_by: str) -> list[str]:
    if isinstance(images, FileSet):
        return [file.as_posix() for file in images.files]
    if isinstance(images, TableSet) and pa.types.is_struct(images.column.type):
        return [str((cell or {}).get("path") or "") for cell in images.column.to_pylist()]
    raise WrongColumn(f"{images.name}: its images have no paths that group_by {group_by!r} could match")


def _numbered(names: Sequence[object]) -> NDArray[np.int64]:
    place = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([place[name] for name in names], np.int64)


def _alike(images: ImageSet) -> NDArray[np.int64]:
    """Within a class, everything that a chain of similar thumbnails joins is one group."""
    thumbnails = np.stack([_thumbnail(images, i) for i in range(len(images))])  # (n, side²)
    groups = np.arange(len(images))
    strata = strata_of(images.targets)
    for label in np.unique(strata):
        rows = np.flatnonzero(strata == label)
        for row in rows:
            joined = groups[rows[thumbnails[rows] @ thumbnails[row] >= _ALIKE]]
            groups[np.isin(groups, joined)] = joined.min(initial=groups[row])
    return _numbered(groups.tolist())


def _thumbnail(images: ImageSet, i: int) -> NDArray[np.float64]:
    """Grey, without its mean, of length 1."""
    values = np.asarray(images.image(i).convert("L").resize((_SIDE, _SIDE)), np.float64).ravel()
    values -= values.mean()
    unit: NDArray[np.float64] = values / max(float(np.linalg.norm(values)), 1e-9)
    return unit

"""From what the user names to a data set: decides which source reads it, and reads nothing itself."""

from pathlib import Path

from training.data.digits import NAMES, load_digits_data
from training.data.errors import MissingPath, UnknownSource, WrongColumn
from training.data.folder import load_folder
from training.data.hub import load_hub
from training.data.parquet import has_parquet, load_parquet
from training.data.sets import Data
from training.data.table import Columns

_HUB = "hf:"


def load_data(spec: str, *, image_column: str = "image", label_column: str = "label") -> Data:
    """Load the data set that `spec` names; images are decoded later.

    Args:
        spec: `digits`, `digits-demo` or `digits-parity`; a folder of class folders, or with `train/` and `test/`; a
            Parquet file, or a folder with `train.parquet` and `test.parquet`; `hf:` and a name on the hub.
        image_column: column of encoded images, where there are columns.
        label_column: column of labels, where there are columns.

    Raises:
        DataError: one of its kinds, naming what is to blame.
    """
    columns = Columns(image_column, label_column)
    if spec.startswith(_HUB):
        return load_hub(spec.removeprefix(_HUB), spec, columns)
    if spec in NAMES:
        _refuse_columns(spec, columns)
        return load_digits_data(spec)
    return _load_path(Path(spec), spec, columns)


def _load_path(path: Path, spec: str, columns: Columns) -> Data:
    if not path.exists():
        raise MissingPath(f"{spec}: no such file or folder (built in are {', '.join(NAMES)})")
    if path.suffix == ".parquet" or (path.is_dir() and has_parquet(path)):
        return load_parquet(path, spec, columns)
    if not path.is_dir():
        raise UnknownSource(f"{spec}: neither a folder of images nor a Parquet file")
    _refuse_columns(spec, columns)
    return load_folder(path, spec)


def _refuse_columns(spec: str, columns: Columns) -> None:
    if columns != Columns():
        raise WrongColumn(f"{spec}: it has no columns to choose from; only Parquet files and hf: sets have")

"""Data sets of the Hugging Face hub, through the optional `datasets` package.

Takes the Arrow tables that `datasets` has downloaded and cached, and decodes nothing with it, so that an image gives
the same pixels wherever it comes from.
"""

from importlib import import_module
from typing import Any

from training.data.errors import HubUnavailable, UnknownSource
from training.data.sets import HELD_BACK, Data
from training.data.table import Columns, TableSet, table_set


def load_hub(hub_name: str, name: str, columns: Columns) -> Data:
    """Load `hub_name` with its own train and test (else validation) splits.

    Raises:
        HubUnavailable: no package, no network, or no such data set.
        UnknownSource: the data set has no training split.
        WrongColumn, UnknownLabel: see training.data.errors.
    """
    splits = _download(hub_name)
    if "train" not in splits:
        raise UnknownSource(f"{name}: it has no split called train, only {', '.join(sorted(splits))}")
    train = _split(splits, "train", name, columns)
    held_back = next((part for part in HELD_BACK if part in splits), None)
    test = None if held_back is None else _split(splits, held_back, name, columns, train.labels)
    return Data(name, train.labels, train, test)


def _download(hub_name: str) -> Any:  # noqa: ANN401 - datasets ships no types
    try:
        datasets = import_module("datasets")
    except ImportError as error:
        raise HubUnavailable(
            f"hf:{hub_name}: the package `datasets` is not installed (pip install 'mimi-serving[hub]')"
        ) from error
    try:
        return datasets.load_dataset(hub_name)
    # Behind this call are a hub client, file systems and builders, each with errors of its own.
    except Exception as error:
        raise HubUnavailable(
            f"hf:{hub_name}: could not be loaded from the hub; without a network, "
            f"give a folder or a Parquet file instead ({type(error).__name__}: {error})"
        ) from error


def _split(
    splits: Any,  # noqa: ANN401 - a datasets.DatasetDict
    part: str,
    name: str,
    columns: Columns,
    labels: tuple[str, ...] | None = None,
) -> TableSet:
    return table_set(splits[part].data.table, f"{name} ({part})", columns, labels=labels)

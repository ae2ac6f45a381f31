"""The TOML file of a comparison: its keys, their rules and their defaults.

purpose = "study"                  # or "runs"; it is part of every row
cycles = 5                         # trainings of every method
seeds = [0, 1, 2]
rates = [1e-3, 2e-3, 5e-3]         # learning rates to choose from; left out: each method's own
extend = 4                         # rates at most to add beyond the grid, where the best is at its edge
validation = 0.1                   # share of the training images; 0: train on all, which needs one rate a method
runs = "docs/results/runs.jsonl"   # where finished rows go
work = "var/compare"               # checkpoints, locks, chosen rates, progress
backbone = "swin_tiny_patch4_window7_224"   # left out: the bundled one; `weights`: a file under the data folder
precision = "bf16"                 # of products with frozen weights, for every method; left out: as `mimi train` has it

[backbones]                        # or several, instead of the two keys: each with a file of weights, or ""
vit_base_patch16_224 = "weights/vit_base_patch16_224.safetensors"

[defaults]                         # what every data table begins with
mixup = 0.8

[data.gtsrb]                       # one table a data set
spec = "gtsrb"                     # under the data folder; or digits, or hf:NAME
epochs = 5                         # E, of one cycle
per_class = 50                     # training images of a class at most; 0: all
flip = false                       # and every other field of training.options.FitOptions

[methods]                          # by name, each with its options
linear-probe = {}
mimi = { pruning_fraction = 0.5 }
lora-low = { method = "lora", rates = [1e-4] }   # another label for a method
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from backbone.preprocessing import Resize
from training.errors import BadConfig
from training.fields import FRACTION, Rule, at_least, checked, kinds_of
from training.options import FitOptions, Precision, Rate
from training.rates import EXTRA

Purpose = Literal["runs", "study"]
Rates = Annotated[tuple[Rate, ...], Rule("at least one positive number", bool)]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # it becomes a folder's name
_SHARED = FitOptions(epochs=1, warmup_epochs=0.5, batch_size=32, reference_batch=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """One data set, and how every method trains on it.

    Attributes:
        name: in rows and tables.
        spec: what `training.data.load_data` takes; a path is under the data folder.
        fit: of one cycle; its learning rate is not used.
        per_class: training images of a class at most, drawn by the seed; 0: all.
        image_column: of Parquet files and hub data sets.
        label_column: of Parquet files and hub data sets.
        group_by: what training images belong together by, see training.data.groups.
        resize: crop images, or squash them as VTAB does.
        group: data sets of one group are averaged in reports; a set without one stands alone.
    """

    name: str
    spec: str
    fit: FitOptions
    per_class: Annotated[int, at_least(0)] = 0
    image_column: str = "image"
    label_column: str = "label"
    group_by: str = ""
    resize: Resize = "crop"
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodConfig:
    """One method, and its own options.

    Attributes:
        label: in rows and tables.
        method: the candidate's name.
        rates: learning rates to choose from, where they differ from those of other methods.
        options: of the method itself, which checks them.
    """

    label: str
    method: str
    rates: Rates | None = None
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole comparison; see the head of this module.

    Attributes:
        precision: of the products with frozen weights, for every method that trains step by step.
        backbones: (architecture, file of weights under the data folder or "") if there are several.
    """

    data: tuple[DataConfig, ...]
    methods: tuple[MethodConfig, ...]
    cycles: Annotated[int, at_least(1)]
    seeds: tuple[Annotated[int, at_least(0)], ...]
    purpose: Purpose = "runs"
    rates: Rates | None = None
    extend: Annotated[int, at_least(0)] = EXTRA
    validation: Annotated[float, FRACTION] = 0.1
    runs: Path = Path("docs/results/runs.jsonl")
    work: Path = Path("var/compare")
    backbone: str | None = None
    weights: str | None = None
    precision: Precision = "auto"
    backbones: tuple[tuple[str, str], ...] = ()

    @property
    def of_one_backbone(self) -> "tuple[Config, ...]":
        """The same comparison on each of its backbones."""
        if not self.backbones:
            return (self,)
        return tuple(
            replace(self, backbone=name, weights=weights or None, backbones=()) for name, weights in self.backbones
        )


_TABLES = {"data": dict, "methods": dict}
_PATHS = {"runs": str, "work": str}
_RATES = {"rates": Rates}
_REQUIRED = ("cycles", "seeds", *_TABLES)


def read_config(path: Path) -> Config:
    """The comparison that a TOML file describes.

    Raises:
        BadConfig: it cannot be read, a key is unknown or missing, or a value breaks its rule.
    """
    try:
        return parse_config(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def parse_config(text: str, where: str) -> Config:
    """The comparison that `text` describes; errors begin with `where`.

    Raises:
        BadConfig: as `read_config`.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(f"{where}: no TOML: {error}") from error
    kinds = kinds_of(Config) | _TABLES | _PATHS | {"backbones": dict, "defaults": dict}
    given = checked(table, kinds, where)
    missing = [key for key in _REQUIRED if not given.get(key)]
    if missing:
        raise BadConfig(f"{where}: {', '.join(missing)} missing or empty")
    given |= {key: Path(given[key]) for key in _PATHS if key in given}
    given["backbones"] = _backbones(given, where)
    first = given.pop("defaults", {})
    given["data"] = tuple(_data(name, each, first, f"{where}, [data.{name}]") for name, each in given["data"].items())
    methods = given["methods"].items()
    given["methods"] = tuple(_method(name, each, f"{where}, [methods] {name}") for name, each in methods)
    return Config(**given)


def _backbones(given: dict[str, Any], where: str) -> tuple[tuple[str, str], ...]:
    """Name and weights of each, in the file's order."""
    table: dict[str, object] = given.get("backbones", {})
    if table and (given.get("backbone") or given.get("weights")):
        raise BadConfig(f"{where}: [backbones] stands instead of backbone and weights, not beside them")
    named = checked(table, dict.fromkeys(table, str), f"{where}, [backbones]")
    return tuple(named.items())


def _data(name: str, table: object, first: Mapping[str, object], where: str) -> DataConfig:
    fit_kinds = kinds_of(FitOptions, without=("learning_rate",))
    kinds = kinds_of(DataConfig, without=("name",)) | fit_kinds
    given = checked({**first, **_named_table(name, table, where)}, kinds, where)
    if "epochs" not in given:
        raise BadConfig(f"{where}: epochs of a cycle missing")
    changes = {key: given.pop(key) for key in fit_kinds.keys() & given.keys()}
    try:
        return DataConfig(name=name, fit=replace(_SHARED, **changes), **{"spec": name, **given})
    except ValueError as error:
        raise BadConfig(f"{where}: {error}") from error


def _method(label: str, table: object, where: str) -> MethodConfig:
    given = dict(_named_table(label, table, where))
    own = checked({key: given.pop(key) for key in ("method", "rates") if key in given}, {"method": str} | _RATES, where)
    return MethodConfig(label=label, options=given, **{"method": label, **own})


def _named_table(name: str, table: object, where: str) -> dict[str, Any]:
    if not _NAME.fullmatch(name):
        raise BadConfig(f"{where}: a name has letters, digits, '.', '_' and '-' only")
    if not isinstance(table, dict):
        raise BadConfig(f"{where} must be a table, not {table!r}")
    return table

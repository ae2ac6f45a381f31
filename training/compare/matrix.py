"""The cells of a comparison, each a method on a data set at a seed, and the names by which they are found again.

Every row has two digests. `arena` covers everything that the methods on a data set share: rows of different arenas are
never averaged. `cell` covers the arena and the method's own options: a row with it is not computed again.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from training.compare.candidate import Candidate, Make, where
from training.compare.config import Config, DataConfig, MethodConfig
from training.errors import BadConfig
from training.jsonl import Row
from training.options import FitOptions

Key = tuple[str, str, str, int]  # cell, purpose, method, seed

# Options that came after the first rows: they count where they are used, so that rows that are there are still found.
_LATER = {"resized_crop", "randaugment", "erasing", "mixup", "cutmix", "update"}
_FIT = asdict(FitOptions())

RATE_SEED = 0  # at which learning rates are chosen, for every seed


@dataclass(frozen=True, slots=True)
class Entry:
    """A method of the configuration with the candidate that it names.

    Attributes:
        rates: learning rates to choose from; empty if there is none to choose.
    """

    method: MethodConfig
    candidate: Candidate
    rates: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One method on one data set at one seed."""

    config: Config
    data: DataConfig
    entry: Entry
    seed: int

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.entry.method.label} on {self.data.name}, seed {self.seed}"

    @property
    def folder(self) -> Path:
        """Of the method on this data set, for all seeds."""
        return self.config.work / self.data.name / f"{self.entry.method.label}-{self.digest}"

    @property
    def digest(self) -> str:
        """Of everything that a row depends on, but seed and commit."""
        method, rates = self.entry.method, self.entry.rates
        extend = [self.config.extend] if self.config.extend and len(rates) > 1 else []
        return _digest([arena_of(self.config, self.data), method.method, dict(method.options), rates, *extend])

    @property
    def key(self) -> Key:
        """By which its rows are found."""
        return self.digest, self.config.purpose, self.entry.method.label, self.seed

    @property
    def facts(self) -> Row:
        """The values that every row of this cell has."""
        fit = self.data.fit
        return {
            "method": self.entry.method.label,
            "dataset": self.data.name,
            "seed": self.seed,
            "purpose": self.config.purpose,
            "per_class": self.data.per_class,
            "cycle_epochs": fit.epochs,
            "options": {"method": self.entry.method.method, **self.entry.method.options},
            "arena": arena_of(self.config, self.data),
            "cell": self.digest,
            **({"group": self.data.group} if self.data.group else {}),
        }


def arena_of(config: Config, data: DataConfig) -> str:
    """Digest of what every method on a data set shares."""
    fit = {name: value for name, value in asdict(data.fit).items() if name != "learning_rate"}
    for name in _LATER & fit.keys():
        if fit[name] == _FIT[name]:
            del fit[name]
    settings = [data.name, data.spec, data.per_class, fit, config.cycles, config.validation]
    came = ((data.group_by, ""), (data.resize, "crop"), (config.precision, "auto"))
    later = [value for value, first in came if value != first]
    return _digest([*settings, config.backbone, config.weights, *later])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def entries_of(config: Config, makers: Mapping[str, Make], *, only: Collection[str] = ()) -> tuple[Entry, ...]:
    """The configuration's methods, or those of them that `only` names by their labels.

    Raises:
        BadConfig: there is no such method, or it refuses its options.
    """
    unknown = sorted(set(only) - {method.label for method in config.methods})
    if unknown:
        raise BadConfig(f"the configuration has no method {', '.join(unknown)}")
    return tuple(_entry(config, method, makers) for method in config.methods if not only or method.label in only)


def _entry(config: Config, method: MethodConfig, makers: Mapping[str, Make]) -> Entry:
    if method.method not in makers:
        raise BadConfig(f"[methods] {method.label}: no method {method.method!r}; known are: {', '.join(makers)}")
    candidate = makers[method.method](method, config.cycles)
    given = method.rates or config.rates or candidate.rates
    rates = given if candidate.rates else ()
    if len(rates) > 1 and not config.validation:
        raise BadConfig(f"{where(method)}: validation = 0 leaves nothing to choose among {len(rates)} rates by")
    return Entry(method, candidate, rates)


def cells_of(config: Config, entries: tuple[Entry, ...]) -> Iterator[Cell]:
    """Every cell; one seed of all methods before the next, so that there is soon something to compare."""
    for data in config.data:
        for seed in config.seeds:
            yield from (Cell(config, data, entry, seed) for entry in entries)

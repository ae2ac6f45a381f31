"""Works through a comparison until no free cell is left.

Several processes may share it. Each holds the lock of the cell it works on; the kernel drops the lock of a process that
dies. Finished cells have rows in the file of rows. A cell that was begun continues from the checkpoints in its folder.
"""

import json
import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from backbone import Backbone, Preprocessing
from backbone.errors import UnsupportedBackbone
from training.compare.candidate import Cost, Trial
from training.compare.config import Config, DataConfig
from training.compare.matrix import RATE_SEED, Cell, Entry, Key, cells_of
from training.data import Data, load_data
from training.data.digits import NAMES
from training.data.load import BUILT_IN, HUB, split_spec
from training.errors import BadConfig, Diverged, UnreadableRuns
from training.files import locked, write_atomic
from training.jsonl import Row, add_rows, read_rows
from training.pixels import PixelSet
from training.prepare import Prepared, prepare, with_resize
from training.progress import PROGRESS, Console, ProgressFile, Reporter, Several
from training.rates import best, search

Tried = dict[str, float | None]  # learning rate -> validation top-1 after one cycle; None: it diverged


@dataclass(frozen=True, slots=True)
class Runner:
    """A comparison and everything it needs.

    Attributes:
        config: of the comparison.
        entries: the methods to work on.
        backbone: frozen, on the device to train on.
        load: a data set at a seed.
        cost: FLOPs of a model.
        made_by: commit and device, for every row.
        reporter: makes the reporter of each training.
        failed: cells that diverged; left out for the rest of this run.
    """

    config: Config
    entries: tuple[Entry, ...]
    backbone: Backbone
    load: Callable[[DataConfig, int], Prepared]
    cost: Cost
    made_by: Row
    reporter: Callable[[], Reporter] = Console
    failed: set[Key] = field(default_factory=set)

    def work(self) -> bool:
        """Do every cell that is neither finished nor locked by another process; True if none failed.

        In a first pass, cells whose learning rate another process is choosing are left for later.
        """
        for patient in (False, True):
            for cell in cells_of(self.config, self.entries):
                self.claim(cell, patient=patient)
        return not self.failed

    def claim(self, cell: Cell, *, patient: bool) -> None:
        """Do a cell, unless it is finished, failed before, or is locked by another process.

        Args:
            cell: to do.
            patient: wait where another process is choosing its learning rate, instead of leaving the cell.
        """
        with locked(cell.folder / f"seed{cell.seed}.lock", patient=False) as mine:
            if mine and cell.key not in self.failed | finished(self.config.runs):
                self._try(cell, patient=patient)

    def _try(self, cell: Cell, *, patient: bool) -> None:
        reporter = self.reporter()
        reporter.say(f"== {cell.name}")
        try:
            self._finish(cell, patient=patient)
        except (Diverged, UnsupportedBackbone, BadConfig) as error:
            self.failed.add(cell.key)
            reporter.say(f"{cell.name} has no result: {error}")

    def _finish(self, cell: Cell, *, patient: bool) -> None:
        """Train to the end, and write all of the cell's rows at once: a cell with a row is finished."""
        rate, tried = None, None
        if cell.entry.rates and not self.config.validation:
            (rate,) = cell.entry.rates
        elif cell.entry.rates:
            tried = self._rates(cell, patient=patient)
            if tried is None:
                return
            rate = best({float(each): score for each, score in tried.items()})
        made: Row = cell.facts | {"backbone": self.backbone.name, "learning_rate": rate, "rates": tried} | self.made_by
        rows = cell.entry.candidate.train(self._trial(cell, rate))
        add_rows(self.config.runs, [{**made, **row} for row in rows])
        for path in (cell.folder / f"seed{cell.seed}").rglob("checkpoint.safetensors"):
            path.unlink()  # of no more use, and a whole network's is large

    def _rates(self, cell: Cell, *, patient: bool) -> Tried | None:
        """Validation top-1 after one cycle by learning rate; None while another process chooses.

        Rows of another seed hold it too, so that a comparison can continue on another machine from its rows alone.
        """
        if known := tried_before(self.config.runs, cell.digest):
            return known
        path = cell.folder / "rates.json"
        with locked(cell.folder / "rates.lock", patient=patient) as mine:
            if mine and not path.exists():
                at = replace(cell, seed=RATE_SEED)
                scores = search(cell.entry.rates, partial(self._score, at), extra=self.config.extend)
                write_atomic(path, json.dumps({str(rate): score for rate, score in scores.items()}).encode())
            found: Tried | None = json.loads(path.read_text()) if path.exists() else None
            return found

    def _score(self, cell: Cell, rate: float) -> float | None:
        """Validation top-1 after one cycle, None if it diverges."""
        try:
            return cell.entry.candidate.first(self._trial(cell, rate))
        except Diverged:
            return None

    def _trial(self, cell: Cell, rate: float | None) -> Trial:
        folder = cell.folder / f"seed{cell.seed}" / ("once" if rate is None else f"rate-{rate:g}")
        folder.mkdir(parents=True, exist_ok=True)
        log = ProgressFile(folder / PROGRESS, {**cell.facts, "rate": rate})
        return Trial(
            prepared=self.load(cell.data, cell.seed),
            backbone=with_resize(self.backbone, cell.data.resize),
            fit=replace(cell.data.fit, learning_rate=rate) if rate else cell.data.fit,
            seed=cell.seed,
            folder=folder,
            reporter=Several((self.reporter(), log)),
            cost=self.cost,
            precision=self.config.precision,
        )


def finished(runs: Path) -> set[Key]:
    """Keys of the cells that have rows: a cell's are written all at once.

    Raises:
        UnreadableRuns: a line of the file is no row.
    """
    return {(row.get("cell", ""), row.get("purpose", ""), row["method"], row["seed"]) for row in _rows(runs)}


def tried_before(runs: Path, cell: str) -> Tried | None:
    """The learning rates that were tried, from the rows of a cell at any seed; None if there are no rows.

    Raises:
        UnreadableRuns: a line of the file is no row.
    """
    return next((row["rates"] for row in _rows(runs) if row.get("cell") == cell), None)


def _rows(runs: Path) -> list[Row]:
    try:
        return read_rows(runs)
    except ValueError as error:
        raise UnreadableRuns(str(error)) from error


def load(data: DataConfig, root: Path, preprocessing: Preprocessing, *, validation: float, seed: int) -> Prepared:
    """The data set at a seed, which draws the validation split and the images of a class.

    Raises:
        DataError: see training.data.errors.
    """
    found = opened(data, root)
    preprocessing = replace(preprocessing, resize=data.resize)
    prepared = replace(prepare(found, preprocessing, validation=validation, seed=seed), name=data.name)
    return few_of(prepared, data.per_class, seed) if data.per_class else prepared


def opened(data: DataConfig, root: Path) -> Data:
    """The data set, of which no image is decoded yet.

    Raises:
        DataError: see training.data.errors.
    """
    columns = {"image_column": data.image_column, "label_column": data.label_column}
    return load_data(_placed(data.spec, root), **columns, group_by=data.group_by)


def _placed(spec: str, root: Path) -> str:
    """The specification with its path under `root`; built-in sets and the hub have none."""
    if spec in NAMES:
        return f"{BUILT_IN}:{spec}"
    source, rest = split_spec(spec)
    if source in (HUB, BUILT_IN):
        return spec
    return f"{source}:{root / rest}" if source else str(root / rest)


def few_of(prepared: Prepared, per_class: int, seed: int) -> Prepared:
    """The data set with at most `per_class` training images of a class; validation and test stay whole."""
    order = np.random.default_rng(seed).permutation(len(prepared.train))
    targets = prepared.train.targets.numpy()[order]
    rows = np.concatenate([order[targets == label][:per_class] for label in range(len(prepared.labels))])
    train = PixelSet(*(values[torch.from_numpy(rows)] for values in (prepared.train.pixels, prepared.train.targets)))
    return replace(prepared, train=train, groups=None if prepared.groups is None else prepared.groups[rows])


def made_by(device: str) -> Row:
    """The commit, marked where files differ from it, and the kind of device; nothing that names the machine."""
    return {"commit": _commit(), "device": _words(device), "torch": torch.__version__}


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    except OSError:  # no git here
        return ""
    return found.stdout.strip()


def _words(device: str) -> str:
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} thread(s)"

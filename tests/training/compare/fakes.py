"""A comparison of tiny things: the small backbone and data set, and a configuration to change."""

from pathlib import Path

from tests.training.small import small_backbone, small_prepared
from training.compare.candidate import Make, Trial
from training.compare.config import Config, DataConfig, parse_config
from training.compare.matrix import entries_of
from training.compare.runner import Runner
from training.jsonl import Row, read_rows
from training.model import TaskModel
from training.options import FitOptions
from training.prepare import Prepared
from training.progress import Reporter, Silent

FIT = FitOptions(epochs=2, warmup_epochs=0.5, batch_size=16, learning_rate=5e-3, reference_batch=None, shift=1)

TEXT = """
cycles = 2
seeds = [0, 1]
rates = [5e-3]
[data.small]
epochs = 2
batch_size = 16
shift = 1
[methods]
"""


def config(methods: str, folder: Path, **changes: str) -> Config:
    """The small comparison of `methods` (TOML), with its files under `folder`; `changes` replace whole lines."""
    text = f'runs = "{folder}/runs.jsonl"\nwork = "{folder}/work"\n{TEXT}{methods}'
    for key, value in changes.items():
        old = next(line for line in text.splitlines() if line.startswith(f"{key} ="))
        text = text.replace(old, f"{key} = {value}", 1)
    return parse_config(text, "config")


def cost(model: TaskModel) -> tuple[int, int]:
    """Any figures."""
    return model.backbone.flops + 1, model.backbone.flops


def trial(folder: Path, *, fit: FitOptions = FIT, reporter: Reporter | None = None, seed: int = 0) -> Trial:
    """One training of small things."""
    folder.mkdir(parents=True, exist_ok=True)
    return Trial(small_prepared(), small_backbone(), fit, seed, folder, reporter or Silent(), cost)


def load(data: DataConfig, seed: int) -> Prepared:
    """The small data set, the same at every seed."""
    del data, seed
    return small_prepared()


def runner(chosen: Config, makers: dict[str, Make]) -> Runner:
    """A runner of the small comparison."""
    entries = entries_of(chosen, makers)
    return Runner(chosen, entries, small_backbone(), load, cost, {"commit": "abc", "device": "test"}, Silent)


def rows(chosen: Config) -> list[Row]:
    """The rows that were written."""
    return read_rows(chosen.runs)

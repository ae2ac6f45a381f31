"""Plans a comparison: its trainings, their cost, and missing data. It trains and decodes nothing.

Every method is measured for some steps on random images, at its largest size; MiMi gets cheaper as it shrinks. So the
hours are an upper estimate for this device. They leave out reading and decoding the images. On a CPU its own time
counts, so that other work on the machine does not: the hours are those of a machine that does nothing else.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch

from backbone import Backbone
from backbone.errors import UnsupportedBackbone
from training.compare.config import Config, DataConfig
from training.compare.generic import at_precision, untrained
from training.compare.matrix import RATE_SEED, Cell, Entry, cells_of
from training.compare.runner import finished, opened
from training.data.errors import DataError
from training.data.load import split_spec
from training.errors import BadConfig
from training.fit import Fitting, build_optimizer, evaluate, train_epoch
from training.linear_probe import PENALTIES
from training.model import AdaptedModel
from training.options import FitOptions, Precision
from training.pixels import PixelSet

# Images of published sets, for training (validation included) and for test, and classes: known before they are there.
PUBLISHED_SIZES: Mapping[str, tuple[int, int, int]] = {
    "cifar10": (50_000, 10_000, 10),
    "cifar100": (50_000, 10_000, 100),
    "svhn": (73_257, 26_032, 10),
    "flowers102": (2_040, 6_149, 102),
    "domainnet/clipart": (33_525, 14_604, 345),
    "domainnet/infograph": (36_023, 15_582, 345),
    "domainnet/painting": (50_416, 21_850, 345),
    "domainnet/quickdraw": (120_750, 51_750, 345),
    "domainnet/real": (120_906, 52_041, 345),
    "domainnet/sketch": (48_212, 20_916, 345),
    "vtab/caltech101": (1_000, 6_084, 102),
    "vtab/cifar": (1_000, 10_000, 100),
    "vtab/dtd": (1_000, 1_880, 47),
    "vtab/oxford_flowers102": (1_000, 6_149, 102),
    "vtab/oxford_iiit_pet": (1_000, 3_669, 37),
    "vtab/svhn": (1_000, 26_032, 10),
    "vtab/sun397": (1_000, 21_750, 397),
    "vtab/patch_camelyon": (1_000, 32_768, 2),
    "vtab/eurosat": (1_000, 5_400, 10),
    "vtab/resisc45": (1_000, 6_300, 45),
    "vtab/diabetic_retinopathy": (1_000, 42_670, 5),
    "vtab/clevr_count": (1_000, 15_000, 8),
    "vtab/clevr_dist": (1_000, 15_000, 6),
    "vtab/dmlab": (1_000, 22_735, 6),
    "vtab/kitti": (1_000, 711, 4),
    "vtab/dsprites_loc": (1_000, 73_728, 16),
    "vtab/dsprites_ori": (1_000, 73_728, 16),
    "vtab/smallnorb_azi": (1_000, 12_150, 18),
    "vtab/smallnorb_ele": (1_000, 12_150, 9),
}

_STEPS = 2  # measured after as many that warm up
_BATCHES = {"cpu": 4, "cuda": 64}  # images of a measured step, at most


@dataclass(frozen=True, slots=True)
class Size:
    """Images of a data set, and why it cannot be read; all None if that is all that is known.

    Attributes:
        missing: what the loader said; None if the set is there.
    """

    train: int | None = None
    validation: int | None = None
    test: int | None = None
    classes: int | None = None
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds of one image: in a training step, and in evaluation."""

    train: float
    evaluate: float


@dataclass(frozen=True, slots=True)
class Planned:
    """A cell of a plan.

    Attributes:
        seconds: what is left to do of it, with the search for its rate; None if the data set's size is not known.
        refused: why the method cannot run on this backbone.
    """

    cell: Cell
    done: bool
    seconds: float | None
    refused: str | None = None


def size_of(data: DataConfig, root: Path, validation: float) -> Size:
    """The number of images of a data set, from its files or, if they are missing, from published figures."""
    try:
        found = opened(data, root)
    except DataError as error:
        return _published(data, validation, str(error))
    train, held_back = len(found.train), len(found.validation) if found.validation is not None else None
    test = len(found.test) if found.test is not None else 0
    return _cut(Size(train, held_back, test, len(found.labels)), data, validation)


def _published(data: DataConfig, validation: float, missing: str) -> Size:
    try:
        name, _ = split_spec(data.spec)
    except DataError:
        name = ""
    if name not in PUBLISHED_SIZES:
        return Size(missing=missing)
    train, test, classes = PUBLISHED_SIZES[name]
    return _cut(Size(train, None, test, classes, missing), data, validation)


def _cut(size: Size, data: DataConfig, validation: float) -> Size:
    """With a validation split of its own or the configuration's share, and as few images a class as are wanted."""
    train, held_back = size.train or 0, size.validation
    if held_back is None:
        held_back = round(validation * train)
        train -= held_back
    if data.per_class:
        train = min(train, data.per_class * (size.classes or 0))
    return replace(size, train=train, validation=held_back)


def plan(
    config: Config,
    entries: Sequence[Entry],
    backbone: Backbone,
    sizes: Mapping[str, Size],
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[Planned]:
    """Every cell with its cost on the backbone's device. `say` gets a line before each measurement."""
    done = finished(config.runs)

    @cache
    def speed(place: int, name: str) -> Speed | str:
        entry, data = entries[place], next(each for each in config.data if each.name == name)
        say(f"measuring {entry.method.label} on {backbone.name}")
        try:
            return measured(entry, backbone, data.fit, sizes[name].classes or 2, precision=config.precision)
        except (UnsupportedBackbone, BadConfig) as error:
            return str(error)

    # One measurement serves all data sets that are trained on in the same way; classes hardly change a step.
    first = {data.name: next(each.name for each in config.data if each.fit == data.fit) for data in config.data}
    for cell in cells_of(config, tuple(entries)):
        found = speed(list(entries).index(cell.entry), first[cell.data.name])
        if isinstance(found, str):
            yield Planned(cell, False, 0.0, found)
        elif cell.key in done:
            yield Planned(cell, True, 0.0)
        else:
            yield Planned(cell, False, _seconds(cell, found, sizes[cell.data.name]))


def _seconds(cell: Cell, speed: Speed, size: Size) -> float | None:
    """Training of every cycle, validation after every epoch, test after every cycle, and the search on its seed."""
    if size.train is None or size.validation is None or size.test is None:
        return None
    if not cell.entry.rates:  # solved on features, with validation at every penalty
        return speed.evaluate * (size.train + len(PENALTIES) * size.validation + size.test)
    epoch = speed.train * size.train + speed.evaluate * size.validation
    cycles = cell.config.cycles + (len(cell.entry.rates) - 1 if cell.seed == RATE_SEED else 0)
    return cycles * cell.data.fit.epochs * epoch + cell.config.cycles * speed.evaluate * size.test


def measured(
    entry: Entry, backbone: Backbone, fit: FitOptions, classes: int, *, precision: Precision = "auto"
) -> Speed:
    """Some steps of a method on random images, at its largest size.

    Raises:
        UnsupportedBackbone, BadConfig: the method cannot run on this backbone, or with its options.
    """
    device = next(backbone.parameters()).device
    batch = min(fit.batch_size, _BATCHES[device.type])
    if entry.candidate.model:
        model = at_precision(untrained(entry.candidate.model, backbone, classes, 0), backbone, precision)
    else:
        model = AdaptedModel(backbone, [0] * len(backbone.sites), classes).to(device)
    images = _random_images(_STEPS * batch, backbone, classes)
    few = replace(fit, batch_size=batch, epochs=2, warmup_epochs=0, drop_last=True, views=0)
    fitting = Fitting(model, build_optimizer(model, few), few, seed=0)
    train = _second(lambda: train_epoch(fitting, images, cycle=0, epoch=0, on_step=lambda progress: None), device)
    seen = _second(lambda: evaluate(model, images, batch_size=batch), device)
    return Speed(train / len(images), seen / len(images))


def _random_images(count: int, backbone: Backbone, classes: int) -> PixelSet:
    draws = torch.Generator().manual_seed(0)
    device = next(backbone.parameters()).device
    pixels = torch.randint(0, 256, (count, *backbone.preprocessing.size, 3), dtype=torch.uint8, generator=draws)
    return PixelSet(pixels, torch.arange(count) % classes).to(device)


def _second(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the second of two calls."""
    started = 0.0
    for _ in range(2):
        _wait(device)
        started = _now(device)
        work()
        _wait(device)
    return _now(device) - started


def _now(device: torch.device) -> float:
    """Seconds of a clock: of this process's own work on a CPU, shared by its threads."""
    return time.process_time() / torch.get_num_threads() if device.type == "cpu" else time.monotonic()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

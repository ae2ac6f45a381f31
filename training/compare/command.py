"""One comparison from its TOML file, as `mimi compare` and `python -m training compare` run it. Knows no parser."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

from backbone import BUNDLED, Backbone, Preprocessing, load_backbone
from training.command import chosen_device
from training.compare import cluster
from training.compare.catalogue import catalogue, flops
from training.compare.config import Config, DataConfig, parse_config, read_config
from training.compare.matrix import cells_of, entries_of
from training.compare.plan import Planned, plan, size_of
from training.compare.runner import Runner, finished, load, made_by
from training.jsonl import Row
from training.options import CompareRequest
from training.prepare import Prepared
from training.progress import Console


@dataclass(frozen=True, slots=True)
class BackbonePlan:
    """The plan for one backbone: its trainings, and missing data.

    Attributes:
        backbone: its name.
        cells: the trainings with their cost.
        missing: weights and data sets that are not there, each as a sentence.
    """

    backbone: str
    cells: tuple[Planned, ...]
    missing: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Of all cells whose cost is known."""
        return sum(cell.seconds or 0.0 for cell in self.cells)

    @property
    def complete(self) -> bool:
        """Whether the cost of every cell is known."""
        return all(cell.seconds is not None for cell in self.cells)


@dataclass(frozen=True, slots=True)
class CellJob:
    """One cell, as a worker finds it that has neither the file nor its folder.

    Attributes:
        text: of the file.
        folder: that relative paths of the file are meant in.
        part: number of the backbone, from 0.
        number: of the cell among those of its part, from 0.
    """

    text: str
    folder: Path
    request: CompareRequest
    part: int
    number: int
    name: str

    def __str__(self) -> str:
        """For people."""
        return self.name


def work(file: Path, request: CompareRequest) -> bool:
    """Train until nothing is left to claim; False if a training has no result.

    Raises:
        BadConfig: the file cannot be read, or asks for what cannot be done.
    """
    if request.ray is not None:
        return _work_on_cluster(file, request)
    every = True
    for config, backbone in _parts(read_config(file), request):
        every &= _runner(config, backbone, request).work()
    return every


def _runner(config: Config, backbone: Backbone, request: CompareRequest) -> Runner:
    device = chosen_device(request.device)
    entries = entries_of(config, catalogue(len(backbone.sites)), only=request.only)
    images = _loading(request.data, config, backbone.preprocessing, device)
    return Runner(config, entries, backbone.to(device), images, flops, made_by(device))


def _work_on_cluster(file: Path, request: CompareRequest) -> bool:
    """As `work`, each cell in some worker; files of rows and work folders must be the same for all of them."""
    cluster.check(request)
    config, folder = read_config(file), Path.cwd()
    text, there = file.read_text(encoding="utf-8"), replace(request, data=request.data.resolve())
    cells = {
        CellJob(text, folder, there, part, number, cell.name): cell
        for part, (config, backbone) in enumerate(_parts(config, request, weights=False))
        for number, cell in enumerate(
            cells_of(config, entries_of(config, catalogue(len(backbone.sites)), only=request.only))
        )
    }

    def done(job: CellJob) -> bool:
        return cells[job].key in finished(cells[job].config.runs)

    jobs = [job for job in cells if not done(job)]
    return cluster.spread(jobs, _do, done, request, Console().say) if jobs else True


def _do(job: CellJob, patient: bool) -> bool:
    """In a worker: do a cell; returns whether it failed."""
    runner = _runner_of(job.text, job.folder, job.request, job.part)
    cell = next(islice(cells_of(runner.config, runner.entries), job.number, None))
    runner.claim(cell, patient=patient)
    return cell.key in runner.failed


@lru_cache(1)  # a worker does one cell after the other, mostly over the same backbone and images
def _runner_of(text: str, folder: Path, request: CompareRequest, part: int) -> Runner:
    whole = parse_config(text, "the comparison")
    whole = replace(whole, runs=folder / whole.runs, work=folder / whole.work)
    config, backbone = next(islice(_parts(whole, request), part, None))
    return _runner(config, backbone, request)


def cells(file: Path, request: CompareRequest) -> list[Row]:
    """Every cell, and whether it is done; raises BadConfig as `work`."""
    rows: list[Row] = []
    for config, backbone in _parts(read_config(file), request, weights=False):
        entries = entries_of(config, catalogue(len(backbone.sites)), only=request.only)
        done = finished(config.runs)
        rows += [
            {
                "backbone": backbone.name,
                "dataset": cell.data.name,
                "seed": cell.seed,
                "method": cell.entry.method.label,
                "epochs": cell.data.fit.epochs * config.cycles if cell.entry.rates else None,
                "rates": list(cell.entry.rates),
                "done": cell.key in done,
                "runs": str(config.runs),
            }
            for cell in cells_of(config, entries)
        ]
    return rows


def plans(
    file: Path, request: CompareRequest, say: Callable[[str], None] = lambda text: None
) -> Iterator[BackbonePlan]:
    """The trainings of every backbone with their cost; raises BadConfig as `work`.

    Args:
        file: the comparison.
        request: its options.
        say: is called with a line before each measurement.
    """
    device = chosen_device(request.device)
    for config, backbone in _parts(read_config(file), request, weights=False):
        entries = entries_of(config, catalogue(len(backbone.sites)), only=request.only)
        sizes = {data.name: size_of(data, request.data, config.validation) for data in config.data}
        missing = [f"{name}: {size.missing}" for name, size in sizes.items() if size.missing]
        if config.weights and not (request.data / config.weights).is_file():
            missing.insert(0, f"weights {request.data / config.weights}")
        cells = tuple(plan(config, entries, backbone.to(device), sizes, say))
        yield BackbonePlan(backbone.name, cells, tuple(missing))


def device_name(request: CompareRequest) -> str:
    """The device that would compute, in words."""
    return str(made_by(chosen_device(request.device))["device"])


def _parts(whole: Config, request: CompareRequest, *, weights: bool = True) -> Iterator[tuple[Config, Backbone]]:
    """Each backbone with its part of the configuration; without `weights` it has random ones."""
    for config in whole.of_one_backbone:
        name = config.backbone or BUNDLED
        if not weights:
            yield config, load_backbone(name, pretrained=False)
            continue
        yield config, load_backbone(name, weights=request.data / config.weights if config.weights else None)


def _loading(
    root: Path, config: Config, preprocessing: Preprocessing, device: str
) -> Callable[[DataConfig, int], Prepared]:
    @lru_cache(2)  # the cells of a seed follow each other, and choosing a rate needs another seed's images
    def prepared(data: DataConfig, seed: int) -> Prepared:
        return load(data, root, preprocessing, validation=config.validation, seed=seed).to(device)

    return prepared

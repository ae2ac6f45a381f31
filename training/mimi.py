"""MiMi's Algorithm 1: train large, score, keep the best neurons over all sites, train again, until small enough.

    run = begin(job)
    while run.cycle < cycles:  fit_cycle -> close_cycle (score, write the size, prune)
    finish: the test split is looked at once, for the sizes already written

Every epoch ends with a checkpoint. A run that is started again in the same folder continues, and gives the same result.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from math import isnan
from pathlib import Path

from adapters_store import unpack
from backbone import Backbone
from training.calibrate import Rules, calibrate
from training.cycles import CycleResult, result_of
from training.errors import BadConfig, Diverged, FolderInUse, UnwritableFile
from training.export import Origin, from_file, to_file, with_answers, with_metrics
from training.files import locked
from training.fit import Fitting, evaluate, metric_of, or_none, train_epoch
from training.model import AdaptedModel
from training.options import MiMiOptions
from training.parallel import ALONE, World
from training.prepare import Prepared
from training.progress import Position, Reporter, Silent
from training.rates import best, search
from training.run import Run

NOISE = 0.5  # rank correlation with the initial scores above which pruning is mostly noise


@dataclass(frozen=True, slots=True)
class Job:
    """A run's data, backbone, options and folder.

    Attributes:
        prepared: the data set.
        backbone: frozen, on the device to train on.
        options: of Algorithm 1.
        folder: where checkpoints and task adapter files go.
        reporter: receives progress.
        world: the processes that train together.
    """

    prepared: Prepared
    backbone: Backbone
    options: MiMiOptions
    folder: Path
    reporter: Reporter = field(default_factory=Silent)
    world: World = ALONE


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run.

    Attributes:
        adapter: the task adapter file of the exported size, with test accuracy in its metrics.
        results: figures of every size.
        exported: which of the sizes `adapter` is.
        options: with the learning rate that was chosen.
    """

    adapter: bytes
    results: tuple[CycleResult, ...]
    options: MiMiOptions
    exported: int


def train_mimi(job: Job) -> Outcome:
    """Run Algorithm 1 to its end, or continue the run that the folder holds.

    Raises:
        Diverged: the loss is no longer finite, at every learning rate where several are tried.
        CheckpointMismatch: the folder holds another run.
        FolderInUse, UnwritableFile: the folder is another process's, or cannot be written to.
    """
    with _alone(job):
        _check_file(job)
        chosen, rates = choose_rate(job) if job.options.learning_rates else (job, 1)
        run = Run.begin(chosen.prepared, chosen.backbone, chosen.options, chosen.folder, job.world)
        while run.cycle < chosen.options.cycles:
            fit_cycle(run, job.reporter, searched=rates - 1, rates=rates)
            close_cycle(run, job.reporter)
        if not run.finished:
            run.prune_untrained()
        return finish(run, job)


def _check_file(job: Job) -> None:
    """Make the file of the untrained model, to refuse labels that a file cannot hold before the training starts.

    Raises:
        ArtifactError: as `adapters_store.pack`.
        BadConfig: an augmentation cannot mix several labels.
    """
    options = job.options
    if job.prepared.multilabel and (options.fit.mixup or options.fit.cutmix):
        raise BadConfig("mixup and cutmix are for images of one class each; leave them out for several labels")
    widths = options.initial_widths(tuple(site.dim for site in job.backbone.sites))
    model = AdaptedModel(job.backbone, widths, len(job.prepared.labels), recipe=options.recipe, seed=options.seed)
    origin = Origin(options.pruning.name, options, 1, options.fit.epochs, initial_widths=widths, metrics={})
    to_file(model, job.prepared, origin, job.backbone)


@contextmanager
def _alone(job: Job) -> Iterator[None]:
    """Hold the lock of the job's folder. If several processes train together, the first one holds it.

    Raises:
        FolderInUse: another process trains there.
        UnwritableFile: the folder cannot be made or written to.
    """
    if not job.world.first:
        yield
        return
    try:
        with locked(job.folder / ".lock", patient=False) as mine:
            if not mine:
                raise FolderInUse(f"{job.folder}: another process trains in this folder; choose another one")
            yield
    except OSError as error:
        raise UnwritableFile(f"{error.filename or job.folder}: {error.strerror}") from error


def choose_rate(job: Job) -> tuple[Job, int]:
    """Train the first cycle at each rate of `options.learning_rates`; the job at the best rate, and the rates tried.

    Rates beyond the grid are tried too, as long as the best is at its edge: `options.extra_rates` at most.

    Raises:
        Diverged: at every rate.
    """
    options, tried = job.options, list[float]()

    def score(rate: float) -> float | None:
        tried.append(rate)
        rates = max(len(options.learning_rates), len(tried))
        return _first_validation(_at_rate(job, rate), len(tried) - 1, rates)

    rate = best(search(options.learning_rates, score, extra=options.extra_rates))
    job.reporter.say(f"chosen on validation: learning rate {rate:g}")
    return _at_rate(job, rate), len(tried)


def _first_validation(candidate: Job, number: int, rates: int) -> float | None:
    """Validation top-1 in [0, 1] after the first cycle; None if it diverges."""
    rate, reporter = candidate.options.fit.learning_rate, candidate.reporter
    run = Run.begin(candidate.prepared, candidate.backbone, candidate.options, candidate.folder, candidate.world)
    if run.cycle == 0:
        reporter.say(f"learning rate {rate:g}")
        try:
            fit_cycle(run, reporter, searched=number, rates=rates)
            close_cycle(run, reporter)
        except Diverged:
            reporter.say(f"learning rate {rate:g}: the loss is no longer finite; this rate is out")
            return None
    return run.result(0).validation


def _at_rate(job: Job, rate: float) -> Job:
    """The job at one rate, in a folder of its own."""
    options = replace(job.options, fit=replace(job.options.fit, learning_rate=rate), learning_rates=())
    folder = job.folder / f"rate-{rate:g}"
    folder.mkdir(exist_ok=True)
    return replace(job, options=options, folder=folder)


def fit_cycle(run: Run, reporter: Reporter, *, searched: int = 0, rates: int = 1) -> None:
    """Train the rest of the current cycle, with a checkpoint after every epoch.

    Args:
        run: the run.
        reporter: receives progress.
        searched: learning rates whose first cycle was trained before.
        rates: learning rates that are tried in all; each costs one cycle.
    """
    fit = run.options.fit_of(run.cycle)
    fitting = Fitting(
        run.model,
        run.optimizer,
        fit,
        run.options.seed,
        run.train_cache,
        run.world,
        run.note_gradients,
        run.options.schedule_of(run.cycle),
    )
    while run.epoch < fit.epochs:
        position = Position(
            run.cycle,
            run.options.cycles,
            run.epoch,
            fit.epochs,
            fit.learning_rate,
            searched=searched,
            rates=rates,
            lengths=run.options.lengths,
        )
        progress = train_epoch(
            fitting,
            run.prepared.train,
            cycle=run.cycle,
            epoch=run.epoch,
            on_step=partial(reporter.step, position),
        )
        validation = run.validate()
        run.end_epoch(validation)
        reporter.epoch(position, progress, or_none(validation))


def close_cycle(run: Run, reporter: Reporter) -> None:
    """Score, write the size just trained, and prune for the next cycle."""
    result = run.end_cycle()
    reporter.cycle(result)
    if result.rank_correlation > NOISE and run.options.prunings:
        reporter.say(
            f"warning: rank correlation {result.rank_correlation:.2f} is above {NOISE}: the scores are still those of "
            "the random initialisation, and pruning by them is mostly noise; train longer or at a larger learning rate"
        )


def finish(run: Run, job: Job) -> Outcome:
    """Measure test accuracy once, for every size already written."""
    done = job.folder / "adapter.safetensors"
    found = [path.read_bytes() for path in run.files]
    job.world.wait()  # every process has read: those that read later would see a file that needs no test
    files = [_tested(path, data, run) for path, data in zip(run.files, found, strict=True)]
    results = tuple(result_of(unpack(data), cycle, len(data)) for cycle, data in enumerate(files))
    exported = exported_size([result.validation for result in results], run.options.size_tolerance)
    if exported < len(files) - 1:
        job.reporter.say(_why_larger(results, exported, run.options.size_tolerance))
    adapter = _read_back(files[exported], run)
    results = tuple(replace(each, size=len(adapter)) if each.cycle == exported else each for each in results)
    job.world.write(run.files[exported], lambda: adapter)
    job.world.write(done, lambda: adapter)
    return Outcome(adapter, results, run.options, exported)


def exported_size(validation: Sequence[float], tolerance: float) -> int:
    """The last, and so smallest, size whose validation accuracy is at most `tolerance` below the best.

    Without validation (NaN) it is the last.
    """
    if any(map(isnan, validation)):
        return len(validation) - 1
    least = max(validation) - tolerance - 1e-9  # a share of images that is exactly at the tolerance is within it
    return max(size for size, accuracy in enumerate(validation) if accuracy >= least)


def _why_larger(results: Sequence[CycleResult], exported: int, tolerance: float) -> str:
    best, last, chosen = max(result.validation for result in results), results[-1], results[exported]
    return (
        f"warning: {last.neurons} neurons validate at {last.validation:.4f}, the best size at {best:.4f}: exported are "
        f"{chosen.neurons} neurons at {chosen.validation:.4f}, the smallest size within --size-tolerance {tolerance:g}"
    )


def _read_back(data: bytes, run: Run) -> bytes:
    """The file `data` with how its answers are read, measured with the weights of the file."""
    answers = unpack(data).manifest.answers
    if answers is not None and answers.validation is not None:
        return data
    rules = Rules(run.options.known_share, run.options.label_precision)
    return with_answers(data, calibrate(from_file(data, run.frozen), run.prepared, rules), run.frozen.original)


def _tested(path: Path, data: bytes, run: Run) -> bytes:
    """The file `data` at `path` with its test accuracy, measured with the weights of the file."""
    test = run.prepared.test
    if test is None:
        return data
    metric = f"test_{metric_of(test)}"
    if metric in unpack(data).manifest.provenance.metrics:
        return data
    tested = with_metrics(data, {metric: evaluate(from_file(data, run.frozen), test)})
    run.world.write(path, lambda: tested)
    return tested

"""MiMi's Algorithm 1: train large, score, keep the best neurons over all sites, train again, until small enough.

    run = begin(job)
    while run.cycle < cycles:  fit_cycle -> close_cycle (score, write the size, prune)
    finish: the test split is looked at once, for the sizes already written

Every epoch ends in a checkpoint; a run started again in the same folder goes on to the same result.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from adapters_store import unpack
from backbone import Backbone
from training.cycles import CycleResult, result_of
from training.export import from_file, with_metrics
from training.fit import Fitting, evaluate, train_epoch
from training.options import MiMiOptions
from training.parallel import ALONE, World
from training.prepare import Prepared
from training.progress import Position, Reporter, Silent
from training.run import Run

NOISE = 0.5  # rank correlation with the initial scores above which pruning is mostly noise


@dataclass(frozen=True, slots=True)
class Job:
    """What to train, how, and where.

    Attributes:
        prepared: the data set.
        backbone: frozen, on the device to train on.
        options: of Algorithm 1.
        folder: where checkpoints and task adapter files go.
        reporter: told how it goes.
        world: who trains with us.
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
        adapter: the task adapter file of the last size, with test accuracy in its metrics.
        results: figures of every size.
        options: with the learning rate that was chosen.
    """

    adapter: bytes
    results: tuple[CycleResult, ...]
    options: MiMiOptions


def train_mimi(job: Job) -> Outcome:
    """Run Algorithm 1 to its end, or take it up where it was left.

    Raises:
        Diverged: the loss is no longer finite.
        CheckpointMismatch: the folder holds another run.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    if job.options.learning_rates:
        job = choose_rate(job)
    run = Run.begin(job.prepared, job.backbone, job.options, job.folder, job.world)
    while run.cycle < job.options.cycles:
        fit_cycle(run, job.reporter)
        close_cycle(run, job.reporter)
    if not run.finished:
        run.prune_untrained()
    return finish(run, job)


def choose_rate(job: Job) -> Job:
    """Train the first cycle at each rate of `options.learning_rates`; the job of the best on validation."""
    candidates = [_at_rate(job, rate) for rate in job.options.learning_rates]
    scores: list[float] = []
    for candidate in candidates:
        run = Run.begin(candidate.prepared, candidate.backbone, candidate.options, candidate.folder, job.world)
        if run.cycle == 0:
            job.reporter.say(f"learning rate {candidate.options.fit.learning_rate:g}")
            fit_cycle(run, candidate.reporter)
            close_cycle(run, candidate.reporter)
        scores.append(run.result(0).validation)
    best = candidates[max(range(len(scores)), key=scores.__getitem__)]
    job.reporter.say(f"chosen on validation: learning rate {best.options.fit.learning_rate:g}")
    return best


def _at_rate(job: Job, rate: float) -> Job:
    """The job at one rate, in a folder of its own."""
    options = replace(job.options, fit=replace(job.options.fit, learning_rate=rate), learning_rates=())
    folder = job.folder / f"rate-{rate:g}"
    folder.mkdir(exist_ok=True)
    return replace(job, options=options, folder=folder)


def fit_cycle(run: Run, reporter: Reporter) -> None:
    """Train the rest of the current cycle, with a checkpoint after every epoch."""
    fit = run.options.fit
    fitting = Fitting(run.model, run.optimizer, fit, run.options.seed, run.train_cache, run.world)
    while run.epoch < fit.epochs:
        place = Position(run.cycle, run.options.cycles, run.epoch, fit.epochs, fit.learning_rate)
        progress = train_epoch(
            fitting,
            run.prepared.train,
            cycle=run.cycle,
            epoch=run.epoch,
            on_step=partial(reporter.step, place),
        )
        validation = run.validate()
        run.end_epoch(validation)
        reporter.epoch(place, progress, validation)


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
    """Look at the test split once, for every size already written."""
    done = job.folder / "adapter.safetensors"
    files = [_tested(path, job) for path in run.files]
    results = tuple(result_of(unpack(data), cycle, len(data)) for cycle, data in enumerate(files))
    job.world.write(done, lambda: files[-1])
    return Outcome(files[-1], results, run.options)


def _tested(path: Path, job: Job) -> bytes:
    """The file at `path` with its test accuracy, measured on what is written in it."""
    data = path.read_bytes()
    test = job.prepared.test
    if test is None or "test_top1" in unpack(data).manifest.provenance.metrics:
        return data
    tested = with_metrics(data, {"test_top1": evaluate(from_file(data, job.backbone), test)})
    job.world.write(path, lambda: tested)
    return tested

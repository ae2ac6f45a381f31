"""MiMi and its variants as contestants: `train_mimi` does everything, and writes its task adapter files as it goes."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from adapters_store import unpack
from training.compare.config import MethodConfig
from training.compare.contestant import DEFAULT_RATES, Bout, Contestant, Make, where
from training.compare.errors import BadConfig
from training.compare.generic import OWN_FIT
from training.compare.keys import checked, kinds_of
from training.compare.measure import measure
from training.compare.seconds import seconds_until
from training.export import from_file
from training.lines import Row
from training.mimi import Job, choose_rate, train_mimi
from training.options import MiMiOptions, PruneOptions
from training.reports import report_of
from training.sparse import nonzero_weights

Change = Callable[[MiMiOptions], MiMiOptions]

_ALGORITHM = kinds_of(MiMiOptions, without=("validation", "learning_rates", "seed"))
_PRUNE = kinds_of(PruneOptions)


def of_variant(change: Change) -> Make:
    """The contestant that trains with the options that `change` makes of MiMi's."""

    def make(method: MethodConfig, cycles: int) -> Contestant:
        options, fit = _options(method, cycles, change)

        def job(bout: Bout) -> Job:
            """In the folder above: `train_mimi` makes one for the rate itself, of the same name."""
            rate = bout.fit.learning_rate
            chosen = replace(options, fit=replace(bout.fit, **fit), seed=bout.seed, learning_rates=(rate,))
            return Job(bout.prepared, bout.backbone, chosen, bout.folder.parent, bout.reporter)

        return Contestant(DEFAULT_RATES, lambda bout: _first(job(bout)), lambda bout: _rows(job(bout), bout))

    return make


def _options(method: MethodConfig, cycles: int, change: Change) -> tuple[MiMiOptions, dict[str, Any]]:
    """The algorithm's options, and what changes in the fit."""
    given = checked(method.options, _ALGORITHM | _PRUNE | OWN_FIT, where(method))
    algorithm, prune, fit = ({k: given[k] for k in kinds if k in given} for kinds in (_ALGORITHM, _PRUNE, OWN_FIT))
    try:
        options = change(_to_end_with(cycles, algorithm))
        options = replace(options, prune=replace(options.prune, **prune))
    except ValueError as error:
        raise BadConfig(f"{where(method)}: {error}") from error
    if options.cycles != cycles:
        raise BadConfig(f"{where(method)}: trains {options.cycles} cycles, the others {cycles}: no equal budget")
    return options, fit


def _to_end_with(cycles: int, algorithm: dict[str, object]) -> MiMiOptions:
    """Options whose target is where that many cycles lead, unless a target is given."""
    base = MiMiOptions(**{"target_sigma": 1e9, **algorithm})  # type: ignore[arg-type]
    if "target_sigma" in algorithm:
        return base
    return replace(base, target_sigma=base.initial_sigma / (1 - base.pruning_fraction) ** (cycles - 1))


def _first(job: Job) -> float:
    """Validation top-1 after the first cycle at the job's one rate."""
    data = (choose_rate(job).folder / "size-0.safetensors").read_bytes()
    return report_of(unpack(data), 0, len(data)).validation


def _rows(job: Job, bout: Bout) -> Iterator[Row]:
    outcome, cycles = train_mimi(job), job.options.cycles
    for report in outcome.reports:
        model = from_file((bout.folder / f"size-{report.cycle}.safetensors").read_bytes(), bout.backbone)
        row: Row = {
            "cycle": report.cycle,
            "epochs": min(report.cycle + 1, cycles) * bout.fit.epochs,
            "seconds": seconds_until(bout.folder, report.cycle),
            "val_top1": report.validation,
            "test_top1": report.test,
            **measure(model, bout.cost),
            "nonzero_params": nonzero_weights(model),
            "file_bytes": report.size,
            "rank_correlation": report.rank_correlation,
        }
        yield row

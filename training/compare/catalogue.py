"""Every candidate by name: the linear probe, the registry's methods, small vanilla adapters, MiMi and its variants."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from adapters_store import unpack
from backbone import Backbone
from training.adapter import PLAIN
from training.compare.candidate import (
    DEFAULT_RATES,
    Candidate,
    Make,
    Trial,
    linear_probe,
    measure,
    seconds_until,
    where,
)
from training.compare.config import MethodConfig
from training.compare.generic import OWN_FIT, of_method
from training.cycles import result_of
from training.errors import BadConfig
from training.export import from_file
from training.fields import checked, kinds_of
from training.fit import or_none
from training.jsonl import Row
from training.methods import METHODS, Method, merged
from training.methods.serving import paper_flops, true_flops
from training.mimi import Job, choose_rate, train_mimi
from training.model import AdaptedModel, TaskModel
from training.options import ADAPTER_PLUS, MiMiOptions, PruningOptions
from training.pruning.unstructured import nonzero_weights
from training.variants import variants

PRUNINGS = 8  # of MiMi, up to which vanilla adapters of its size are a candidate: beyond, N is 1 everywhere


def catalogue(sites: int) -> dict[str, Make]:
    """Contestants by the names a configuration gives them, for a backbone of `sites` sites."""
    made: dict[str, Make] = {"linear-probe": linear_probe}
    made |= {name: _registered(method) for name, method in METHODS.items()}
    made |= {f"vanilla-after-{k}": of_method(partial(vanilla_after, k), since=k) for k in range(1, PRUNINGS + 1)}
    return made | {name: of_variant(change) for name, change in variants(sites).items()}


def _registered(method: Method) -> Make:
    return of_method(method.build, method.rates, served=merged if method.mergeable else None)


def flops(model: TaskModel) -> tuple[int, int]:
    """Of one image: everything counted, and as the paper counts."""
    return true_flops(model), paper_flops(model)


def vanilla_after(
    prunings: int, backbone: Backbone, classes: int, seed: int, *, recipe: Literal["plain", "plus"] = "plain"
) -> AdaptedModel:
    """Vanilla adapters, in proportion to the channels, at the compression MiMi has after `prunings` prunings.

    The `recipe` "plus" is that of Adapter+.
    """
    start = MiMiOptions()
    sigma = start.initial_sigma / (1 - start.pruning_fraction) ** prunings
    at = MiMiOptions(initial_sigma=sigma, target_sigma=max(sigma, start.target_sigma))
    widths = at.initial_widths(tuple(site.dim for site in backbone.sites))
    return AdaptedModel(backbone, widths, classes, recipe=ADAPTER_PLUS if recipe == "plus" else PLAIN, seed=seed)


Change = Callable[[MiMiOptions], MiMiOptions]

_ALGORITHM = kinds_of(MiMiOptions, without=("validation", "learning_rates", "extra_rates", "seed", "precision"))
_PRUNING = kinds_of(PruningOptions)


def of_variant(change: Change) -> Make:
    """The candidate that trains with the options that `change` makes of MiMi's."""

    def make(method: MethodConfig, cycles: int) -> Candidate:
        options, fit = _options(method, cycles, change)

        def job(trial: Trial) -> Job:
            """In the folder above: `train_mimi` makes one for the rate itself, of the same name."""
            rate = trial.fit.learning_rate
            chosen = replace(
                options,
                fit=replace(trial.fit, **fit),
                seed=trial.seed,
                precision=trial.precision,
                learning_rates=(rate,),
            )
            return Job(trial.prepared, trial.backbone, chosen, trial.folder.parent, trial.reporter)

        def largest(backbone: Backbone, classes: int, seed: int) -> TaskModel:
            widths = options.initial_widths(tuple(site.dim for site in backbone.sites))
            return AdaptedModel(backbone, widths, classes, recipe=options.recipe, seed=seed)

        def first(trial: Trial) -> float:
            return _first(job(trial))

        return Candidate(DEFAULT_RATES, first, lambda trial: _rows(job(trial), trial), largest)

    return make


def _options(method: MethodConfig, cycles: int, change: Change) -> tuple[MiMiOptions, dict[str, Any]]:
    """The algorithm's options, and what changes in the fit."""
    given = checked(method.options, _ALGORITHM | _PRUNING | OWN_FIT, where(method))
    algorithm, pruning, fit = ({k: given[k] for k in kinds if k in given} for kinds in (_ALGORITHM, _PRUNING, OWN_FIT))
    try:
        options = change(_to_end_with(cycles, algorithm))
        options = replace(options, pruning=replace(options.pruning, **pruning))
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
    chosen, _ = choose_rate(job)
    data = (chosen.folder / "size-0.safetensors").read_bytes()
    return result_of(unpack(data), 0, len(data)).validation


def _rows(job: Job, trial: Trial) -> Iterator[Row]:
    outcome, cycles = train_mimi(job), job.options.cycles
    for result in outcome.results:
        model = from_file((trial.folder / f"size-{result.cycle}.safetensors").read_bytes(), trial.backbone)
        row: Row = {
            "cycle": result.cycle,
            "epochs": job.options.epochs_before(min(result.cycle + 1, cycles)),
            "seconds": seconds_until(trial.folder, result.cycle),
            "val_top1": or_none(result.validation),
            "test_top1": result.test,
            **measure(model, trial),
            "nonzero_params": nonzero_weights(model),
            "file_bytes": result.size,
            "rank_correlation": result.rank_correlation,
        }
        yield row

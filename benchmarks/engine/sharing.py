"""The cost of tasks on one backbone: adapters against none, batches of mixed tasks, and many tasks about one image."""

import random
from dataclasses import asdict
from functools import partial
from itertools import cycle

import numpy as np
import torch

from adapters_store import unpack
from adapters_store.bundled import bundled_tasks
from backbone import load_backbone
from benchmarks.engine.bench import Bench, Found, compare, measured
from benchmarks.engine.material import (
    bare_plan,
    full_widths,
    logits,
    many_pruned,
    open_engine,
    plain_backbone,
    references,
    task_of,
)
from benchmarks.engine.pipe import FULL, QUICK, Call, Calls, Job
from benchmarks.engine.worker import memory
from benchmarks.measure import Estimate, check_equal
from service.engine import Engine, Resident, Row

ADAPTERS_BATCH = 8
ADAPTERS_KEYS = {
    "no_live_site_vs_bare": "no_live_site",
    "mimi_276_vs_bare": "mimi_276",
    "full_adapters_vs_bare": "full",
}


def measure_adapters(bench: Bench, found: Found) -> None:
    """Our answers are compared with those of the reference loop, then the calls are timed.

    Raises:
        UnequalError: our engine computes something else.
    """
    with bench.ours("sharing:build_adapters", {"batch": ADAPTERS_BATCH}) as worker:
        far = {
            call: check_equal(worker.answer(f"reference_{call}"), worker.answer(f"check_{call}"), who=call)
            for call in ADAPTERS_KEYS.values()
        }
        systems = {call: (worker, call) for call in ("bare", *ADAPTERS_KEYS.values())}
        times, details = measured(systems, rounds=bench.rounds)
        for key, call in ADAPTERS_KEYS.items():
            found.estimates[key] = compare(times, call, "bare")
        found.details["adapters"] = {**details, **worker.facts, "difference": far}


PRUNED_TASKS = 16  # with live sites of their own; one after the other, a batch each


def build_adapters(job: Job) -> Calls:
    """`bare`, `no_live_site`, `mimi_276` (another task in each call), `full`; `check_…` and `reference_…` for each."""
    opened, batch = open_engine(job), job.number("batch")
    engine, runtime = opened.engine, opened.runtime
    images, backbone = torch.from_numpy(job.images(batch)), engine.backbone
    nothing = engine.admit(task_of(backbone, [0] * len(backbone.sites), seed=0), "nothing")
    full = engine.admit(task_of(backbone, full_widths(backbone), seed=1), "full")
    pruned, _ = many_pruned(engine, PRUNED_TASKS, first_seed=100)
    turns, plain = cycle(pruned), bare_plan(batch)
    calls: dict[str, Call] = {
        "bare": lambda: runtime.forward(images, plain),
        "no_live_site": lambda: logits(runtime, images, [nothing] * batch),
        "mimi_276": lambda: logits(runtime, images, [next(turns)] * batch),
        "full": lambda: logits(runtime, images, [full] * batch),
    }
    plainly = plain_backbone(job)
    for name, resident in (("no_live_site", nothing), ("mimi_276", pruned[0]), ("full", full)):
        calls[f"check_{name}"] = partial(logits, runtime, images, [resident] * batch)
        calls[f"reference_{name}"] = partial(references, plainly, images, [resident] * batch)
    flops = {"bare": backbone.flops, "no_live_site": nothing.cost.spent, "full": full.cost.spent}
    flops["mimi_276"] = sum(resident.cost.spent for resident in pruned) // len(pruned)
    live = [len(resident.sites) for resident in pruned]
    return Calls(calls, {"flops": {name: batch * each for name, each in flops.items()}, "live_sites": live})


MIXED_BATCH, MIXED_TASKS, QUICK_TASKS = 16, 1000, 200


def measure_mixed(bench: Bench, found: Found) -> None:
    """A mixed batch must give each row the answer that it gets alone.

    Raises:
        UnequalError: it does not.
    """
    options = {"batch": MIXED_BATCH, "tasks": QUICK_TASKS if bench.quick else MIXED_TASKS}
    with bench.ours("sharing:build_mixed", options) as worker:
        far = {
            call: check_equal(worker.answer(f"reference_{call}"), worker.answer(f"check_{call}"), who=call)
            for call in ("mixed16", "mixed1000")
        }
        systems = {call: (worker, call) for call in ("single", "mixed16", "mixed1000")}
        times, details = measured(systems, rounds=bench.rounds)
        found.estimates["mixed16_vs_single"] = compare(times, "mixed16", "single")
        found.estimates["mixed1000_vs_mixed16"] = compare(times, "mixed1000", "mixed16")
        facts = worker.facts
        held = max(facts["memory_growth_bytes"], facts["accounted_bytes"]) / facts["weight_bytes"]
        found.estimates["bank_bytes_vs_adapter_bytes"] = Estimate(held, held, held)
        found.details["mixed"] = {**details, **facts, "difference": far}


def build_mixed(job: Job) -> Calls:
    """`single`, `mixed16`, `mixed1000`; `check_…` gives the answers of mixed rows, `reference_…` the right ones.

    Every task has 276 neurons and live sites of its own, so that their costs differ. The batch of a single task is
    one of the sixteen, another in each call: on average it costs what the mixed batch costs.
    """
    opened, batch, many = open_engine(job), job.number("batch"), job.number("tasks")
    engine, runtime = opened.engine, opened.runtime
    images = torch.from_numpy(job.images(batch))
    few, _ = many_pruned(engine, batch, first_seed=100)
    before = memory("VmRSS")
    others, nbytes = many_pruned(engine, many - batch, first_seed=100 + batch)
    grown, turns, dice = memory("VmRSS") - before, cycle(few), random.Random(0)
    residents, plainly = few + others, plain_backbone(job)
    stride = residents[:: max(1, many // batch)][:batch]
    return Calls(
        {
            "single": lambda: logits(runtime, images, [next(turns)] * batch),
            "mixed16": lambda: logits(runtime, images, few),
            "mixed1000": lambda: logits(runtime, images, dice.sample(residents, batch)),
            "check_mixed16": lambda: logits(runtime, images, few),
            "check_mixed1000": lambda: logits(runtime, images, stride),
            "reference_mixed16": lambda: references(plainly, images, few),
            "reference_mixed1000": lambda: references(plainly, images, stride),
        },
        {
            "flops": {"mixed16": sum(resident.cost.spent for resident in few)},
            "weight_bytes": nbytes,
            "memory_growth_bytes": grown,
            "accounted_bytes": sum(resident.nbytes for resident in others),
            "tasks": len(residents),
        },
    )


def measure_fanout(bench: Bench, found: Found) -> None:
    """One pass with forks against single passes; both must give the same answers.

    Raises:
        UnequalError: they do not.
    """
    *others, stage4 = (QUICK if bench.quick else FULL).stages
    depths = [*others, (others[-1] + stage4) // 2, stage4]  # where each stage begins, and the middle of the third
    with bench.ours("sharing:build_fanout", {"depths": depths}) as worker:
        names = [*map(str, depths), "bundled"]
        far = {
            name: check_equal(worker.answer(f"single_{name}"), worker.answer(f"fanout_{name}"), who=f"fan-out {name}")
            for name in names
        }
        systems = {f"{kind}_{name}": (worker, f"{kind}_{name}") for name in names for kind in ("single", "fanout")}
        times, details = measured(systems, rounds=bench.rounds)
        flops = worker.facts["flops"]
        ideal = {name: flops[f"single_{name}"] / flops[f"fanout_{name}"] for name in names}
        gains = {name: compare(times, f"single_{name}", f"fanout_{name}") for name in names}
        worst = min(
            (name for name in names if name not in (str(stage4), "bundled")), key=lambda n: gains[n].median / ideal[n]
        )
        found.estimates["fanout8_stage4_speedup"] = gains[str(stage4)]
        found.estimates["fanout_bundled_speedup"] = gains["bundled"]
        found.estimates["fanout_vs_flop_ideal"] = scaled(gains[worst], ideal[worst])
        found.details["fanout"] = {
            **details,
            **worker.facts,
            "flop_ideal": ideal,
            "speedup": {name: asdict(gain) for name, gain in gains.items()},
            "difference": far,
        }


def scaled(estimate: Estimate, divisor: float) -> Estimate:
    """The estimate as a share of `divisor`."""
    return Estimate(estimate.median / divisor, estimate.low / divisor, estimate.high / divisor)


FANOUT_TASKS = 8


def build_fanout(job: Job) -> Calls:
    """For each depth `fanout_<site>` and `single_<site>`; `fanout_bundled`, `single_bundled`. Facts: FLOPs of each."""
    depths = job.options["depths"]
    if not isinstance(depths, list):
        raise TypeError(f"depths must be a list, not {depths!r}")
    engine, image = open_engine(job).engine, job.images(1)[0]
    cases = {str(depth): (engine, _forking(engine, depth), image) for depth in depths}
    bundled = Engine(load_backbone())
    cases["bundled"] = (bundled, _bundled(bundled), _pixels(bundled))
    calls: dict[str, Call] = {}
    flops: dict[str, int] = {}
    for name, (runner, residents, pixels) in cases.items():
        rows = [Row(resident, pixels) for resident in residents]
        calls[f"fanout_{name}"] = partial(together, runner, rows)
        calls[f"single_{name}"] = partial(apart, runner, rows)
        flops[f"fanout_{name}"] = sum(result.flops_spent for result in runner.run(rows))
        flops[f"single_{name}"] = sum(resident.cost.spent for resident in residents)
    return Calls(calls, {"flops": flops, "bundled_tasks": len(cases["bundled"][1])})


def together(engine: Engine, rows: list[Row]) -> list[np.ndarray]:
    """Every task about the image in one batch; padded to the widest head, so that answers fit one array."""
    return padded([result.logits for result in engine.run(rows)])


def apart(engine: Engine, rows: list[Row]) -> list[np.ndarray]:
    """A batch of one for each task."""
    return padded([engine.run([row])[0].logits for row in rows])


def padded(logits: list[np.ndarray]) -> list[np.ndarray]:
    """Zeros are added behind, up to one length."""
    most = max(map(len, logits))
    return [np.pad(each, (0, most - len(each))) for each in logits]


def _forking(engine: Engine, depth: int) -> list[Resident]:
    widths = full_widths(engine.backbone, first=depth)
    return [
        engine.admit(task_of(engine.backbone, widths, seed=seed), f"{depth}-{seed}") for seed in range(FANOUT_TASKS)
    ]


def _bundled(engine: Engine) -> list[Resident]:
    return [engine.admit(unpack(data), task) for task, data in bundled_tasks().items()]


def _pixels(engine: Engine) -> np.ndarray:
    size = engine.backbone.preprocessing.size
    return torch.randint(0, 256, (*size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)).numpy()

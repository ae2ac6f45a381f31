"""The bare backbone against everything else that runs it, and against the machine's own limit."""

import time
from contextlib import ExitStack
from dataclasses import asdict

import torch

from benchmarks.engine.bench import BARE, Bench, Found, compare, is_equal, measured, peers, reason
from benchmarks.engine.material import bare_plan, open_engine, task_of
from benchmarks.engine.pipe import Calls, Job
from benchmarks.measure import interval
from service.engine import Row
from service.engine.planning import plan

BATCH = 8
KEYS = {
    "bare_vs_timm_eager": "timm_eager/default",
    "bare_vs_openvino": "openvino/default",
    "bare_vs_timm_compiled": "timm_compiled/default",
    "bare_vs_onnxruntime": "onnxruntime/default",
}
OURS = "ours/default"


def measure_bare(bench: Bench, found: Found) -> None:
    """All systems in both settings, ours too. The goals compare the default settings."""
    options = {"batch": BATCH}
    with ExitStack() as stack:
        own = {
            f"ours/{setting}": stack.enter_context(bench.ours("bare:build_bare", options, setting=setting))
            for setting in ("default", "tuned")
        }
        others = stack.enter_context(peers(bench, found, BARE, options))
        limit = stack.enter_context(bench.ours("bare:build_limit", {}))
        features = own[OURS].answer("features")
        equal = {
            who: worker
            for who, worker in others.items()
            if is_equal(who, worker, {"features": (features, worker.answer("features"))}, found)
        }
        systems = {name: (worker, "bare") for name, worker in own.items()}
        systems |= {"engine.run": (own[OURS], "run"), "limit": (limit, "matmul")}
        systems |= {name: (worker, "features") for name, worker in equal.items()}
        times, details = measured(systems, rounds=bench.rounds)
        for key, baseline in KEYS.items():
            if baseline in times:
                found.estimates[key] = compare(times, OURS, baseline)
            else:
                found.reasons[key] = reason(found, baseline)
        rate = [limit.facts["flops"]["matmul"] / seconds for seconds in times["limit"].seconds]
        flops = own[OURS].facts["flops"]["bare"]
        details["fraction_of_limit"] = {
            name: asdict(interval([flops / second / top for second, top in zip(each.seconds, rate, strict=True)]))
            for name, each in times.items()
            if name != "limit"
        }
        details["flops"] = flops
        details["limit_flops_per_second"] = asdict(interval(rate))
        details["limit_by_shape"] = limit.facts["flops_per_second_by_shape"]
        details["sub_layers_over_kernels"] = own[OURS].facts["fast"]
        details["memory"] = {name: worker.memory() for name, worker in {**own, **equal}.items()}
        found.details["bare"] = details


def build_bare(job: Job) -> Calls:
    """`bare` is timed and `features` gives its answers. `run`: a task without a live site through the whole engine."""
    opened, batch = open_engine(job), job.number("batch")
    engine, forward = opened.engine, opened.runtime.forward
    images = torch.from_numpy(job.images(batch))
    nothing = engine.admit(task_of(engine.backbone, [0] * len(engine.backbone.sites), seed=0), "nothing")
    rows, bare, alone = [Row(nothing, image) for image in images.numpy()], bare_plan(batch), plan([nothing] * batch)
    return Calls(
        {
            "bare": lambda: forward(images, bare),
            "features": lambda: forward(images, alone)[0][1],
            "run": lambda: [result.logits for result in engine.run(rows)],
        },
        {"flops": dict.fromkeys(("bare", "run"), batch * engine.backbone.flops), "fast": opened.fast},
    )


Shape = tuple[int, int, int]  # rows, inner, columns
SHAPES: tuple[Shape, ...] = (
    *((side, side, side) for side in (256, 512, 1024, 1536, 2048)),
    *((rows, inner, 4 * inner) for rows, inner in ((6272, 192), (1568, 384), (392, 768))),  # an MLP's, batch 8
)
SECONDS = 0.3  # of multiplying for each shape
FLOPS = 7e10  # Swin-T's for eight images


def build_limit(job: Job) -> Calls:
    """`matmul`: products of the best shape, about as many FLOPs as one batch has, because a single one starts cold."""
    torch.set_num_threads(job.threads)
    rates = {shape: best_rate(shape) for shape in SHAPES}
    best = max(rates, key=lambda shape: rates[shape])
    left, right = torch.randn(best[:2]), torch.randn(best[1:])
    out, times = left @ right, max(1, round(FLOPS / flops(best)))
    facts: dict[str, object] = {
        "flops": {"matmul": times * flops(best)},
        "flops_per_second_by_shape": {"x".join(map(str, shape)): rate for shape, rate in rates.items()},
    }

    def matmul() -> torch.Tensor:
        for _ in range(times):
            torch.mm(left, right, out=out)
        return out

    return Calls({"matmul": matmul}, facts)


def flops(shape: Shape) -> int:
    """FLOPs of one product."""
    rows, inner, columns = shape
    return 2 * rows * inner * columns


def best_rate(shape: Shape, *, seconds: float = SECONDS) -> float:
    """FLOPs a second of the fastest product of this shape."""
    left, right = torch.randn(shape[:2]), torch.randn(shape[1:])
    out, fastest = left @ right, float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.mm(left, right, out=out)
        fastest = min(fastest, time.perf_counter() - start)
    return flops(shape) / fastest

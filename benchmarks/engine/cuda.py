"""The engine on CUDA against timm under `torch.compile` with max-autotune, both in bfloat16.

Images and answers lie on the host, as a server has them: each timed call includes both copies. Without a device every
figure has a reason instead.
"""

import time
from contextlib import ExitStack
from dataclasses import asdict
from itertools import islice

import torch

from benchmarks.engine.bench import Bench, Found, Systems, compare, is_equal, measured, peers, reason
from benchmarks.engine.material import bare_plan, logits, many_pruned, plain_backbone, references, task_of
from benchmarks.engine.pipe import Calls, Job, Worker
from benchmarks.measure import check_equal, milliseconds, percentile
from service.engine import Engine, Resident, Row
from service.engine.padded import PaddedRuntime
from service.engine.planning import plan

BATCH, QUICK_BATCH, TASKS = 64, 8, 16
CALLS, QUICK_CALLS, WARM_CALLS = 1000, 100, 20  # of one image; recording a graph takes several calls
TOLERANCE = 0.1  # bfloat16 has eight significant bits, and twelve blocks of them add up; wrong rows differ by more
THROUGHPUT = {"cuda_bare_vs_compiled": "bare", "cuda_mixed16_vs_compiled": "mixed16"}
LATENCY = {"cuda_batch1_p50_ms": 0.5, "cuda_batch1_p99_ms": 0.99}
PEER = "timm_cuda/default"


def measure_cuda(bench: Bench, found: Found) -> None:
    """Throughput of a full batch against timm, and the latency of one image.

    Raises:
        UnequalError: mixed rows get other answers than the reference loop gives.
    """
    if not torch.cuda.is_available():
        found.reasons.update(dict.fromkeys((*THROUGHPUT, *LATENCY), "no CUDA device at hand"))
        return
    options = {"batch": QUICK_BATCH if bench.quick else BATCH, "tasks": TASKS}
    options["calls"] = QUICK_CALLS if bench.quick else CALLS
    with ExitStack() as stack:
        ours = stack.enter_context(bench.ours("cuda:build_cuda", options))
        far = check_equal(ours.answer("reference"), ours.answer("mixed16"), who="mixed16", tolerance=TOLERANCE)
        compiled = stack.enter_context(peers(bench, found, ["timm_cuda"], options))
        systems: Systems = {call: (ours, call) for call in THROUGHPUT.values()}
        systems = {**systems, **{who: (worker, "features") for who, worker in _equal(ours, compiled, found).items()}}
        times, details = measured(systems, rounds=bench.rounds)
        for key, call in THROUGHPUT.items():
            if PEER in times:
                found.estimates[key] = compare(times, PEER, call)  # seconds of timm over ours: our relative throughput
            else:
                found.reasons[key] = reason(found, PEER)
        seconds = ours.tell("one_image")["seconds"]
        found.estimates.update({key: milliseconds(percentile(seconds, share)) for key, share in LATENCY.items()})
        p50, p99 = (asdict(found.estimates[key]) for key in LATENCY)
        found.details["cuda"] = {**details, **ours.facts, "difference": far, "one_image_ms": {"p50": p50, "p99": p99}}


def _equal(ours: Worker, others: dict[str, Worker], found: Found) -> dict[str, Worker]:
    """Peers whose features are ours."""
    features = ours.answer("features")
    return {
        who: worker
        for who, worker in others.items()
        if is_equal(who, worker, {"features": (features, worker.answer("features"))}, found, tolerance=TOLERANCE)
    }


def build_cuda(job: Job) -> Calls:
    """`bare` and `features`, `mixed16` and its `reference`, and `one_image`: seconds of many calls.

    The option `device` is for tests: on `cpu` the same code computes in float32.
    """
    torch.set_num_threads(job.threads)
    device = torch.device(job.text("device", "cuda"))
    backbone = plain_backbone(job)
    runtime = PaddedRuntime(backbone, device=device, dtype=torch.bfloat16 if device.type == "cuda" else torch.float32)
    engine, images = Engine(backbone, runtime), torch.from_numpy(job.images(job.number("batch")))
    nothing = engine.admit(task_of(backbone, [0] * len(backbone.sites), seed=0), "nothing")
    tasks, _ = many_pruned(engine, job.number("tasks"), first_seed=100)
    rows: list[Resident] = [tasks[row % len(tasks)] for row in range(len(images))]
    alone, bare = plan([nothing] * len(images)), bare_plan(len(images))
    one = [Row(tasks[0], images[0].numpy())]

    def one_image() -> dict[str, object]:
        taken = (_seconds(engine, one) for _ in range(WARM_CALLS + job.number("calls")))
        return {"seconds": list(islice(taken, WARM_CALLS, None))}

    return Calls(
        {
            "bare": lambda: runtime.forward(images, bare),
            "features": lambda: runtime.forward(images, alone)[0][1],
            "mixed16": lambda: logits(runtime, images, rows),
            "reference": lambda: references(backbone, images, rows),
            "one_image": one_image,
        },
        {"device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu", "batch": len(images)},
    )


def _seconds(engine: Engine, rows: list[Row]) -> float:
    """One batch, from pixels on the host to logits on the host."""
    start = time.perf_counter()
    engine.run(rows)
    return time.perf_counter() - start

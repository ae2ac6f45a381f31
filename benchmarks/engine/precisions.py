"""Lower precision and single images: our time against that of peers in the same numbers, and what it costs in accuracy.

A peer runs in both settings; a goal is held against the faster one.
"""

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median

import torch

from benchmarks.engine.bench import Bench, Found, compare, is_equal, measured, peers, reason
from benchmarks.engine.material import bare_plan, open_engine, task_of
from benchmarks.engine.pipe import Calls, Job, Worker, repeated
from benchmarks.measure import Estimate, Times, check_equal
from benchmarks.studies import lowered
from service.engine.planning import plan

BATCH, MIXED_BATCH, MIXED_TASKS = 8, 16, 32
PRECISIONS = ("fp32", "bf16", "int8")
ROUNDING = 0.05  # how far answers in bf16 may be apart, as a share of max(1, max |ours|); in fp32 as everywhere else
SINGLE = {"swin": 3, "nano": 20}  # networks, and passes of one image in one timed call
_BUILD = "precisions:build_bare"


def measure_precisions(bench: Bench, found: Found) -> None:
    """Swin-T in three precisions, OpenVINO and timm in bf16; then 16 mixed tasks in bf16 against one."""
    with ExitStack() as stack:
        own = {
            each: stack.enter_context(bench.ours(_BUILD, {"batch": BATCH, "precision": each})) for each in PRECISIONS
        }
        others = stack.enter_context(peers(bench, found, ["openvino_bf16", "timm_bf16"], {"batch": BATCH}))
        systems: dict[str, tuple[Worker, str]] = {f"ours/{each}": (worker, "bare") for each, worker in own.items()}
        systems |= _equal(own["bf16"], others, found, tolerance=ROUNDING)
        times, details = measured(systems, rounds=bench.rounds)
    found.estimates["bf16_vs_fp32"] = compare(times, "ours/bf16", "ours/fp32")
    found.estimates["int8_vs_bf16"] = compare(times, "ours/int8", "ours/bf16")
    for peer in ("openvino_bf16", "timm_bf16"):
        _against(f"bare_bf16_vs_{peer}", found, times, ours="ours/bf16", peer=peer)
    found.details["precisions"] = details
    _measure_mixed(bench, found)


def _measure_mixed(bench: Bench, found: Found) -> None:
    options = {"batch": MIXED_BATCH, "tasks": MIXED_TASKS, "precision": "bf16"}
    with bench.ours("sharing:build_mixed", options) as worker:
        answers = worker.answer("reference_mixed16"), worker.answer("check_mixed16")
        far = check_equal(*answers, who="mixed16 in bf16", tolerance=ROUNDING)
        times, details = measured({call: (worker, call) for call in ("single", "mixed16")}, rounds=bench.rounds)
    found.estimates["mixed16_bf16_vs_single"] = compare(times, "mixed16", "single")
    found.details["mixed_bf16"] = {**details, "difference": far}


def measure_batch1(bench: Bench, found: Found) -> None:
    """One image: Swin-T, and a network as small as the bundled one, in fp32 and in bf16. The worst of them counts."""
    ratios: dict[str, Estimate] = {}
    details: dict[str, object] = {}
    for network, passes in SINGLE.items():
        for precision in ("fp32", "bf16"):
            case, peer = f"{network}_{precision}", f"openvino_{network}_{precision}_1"
            options = {"batch": 1, "network": network, "precision": precision, "passes": passes}
            with bench.ours(_BUILD, options) as ours, peers(bench, found, [peer], {"passes": passes}) as others:
                tolerance = {} if precision == "fp32" else {"tolerance": ROUNDING}
                systems = {"ours": (ours, "bare"), **_equal(ours, others, found, **tolerance)}
                times, details[case] = measured(systems, rounds=bench.rounds)
            key = f"batch1_{case}_vs_openvino"
            _against(key, found, times, ours="ours", peer=peer)
            if key in found.estimates:
                ratios[case] = found.estimates[key]
    if len(ratios) == 2 * len(SINGLE):
        found.estimates["batch1_vs_openvino"] = max(ratios.values(), key=lambda ratio: ratio.median)
    else:
        found.reasons["batch1_vs_openvino"] = "not every case could be measured"
    found.details["batch1"] = {**details, "ratios": {case: asdict(ratio) for case, ratio in ratios.items()}}


def measure_losses(bench: Bench, found: Found) -> None:
    """Percentage points that the bundled tasks lose on all of their test images; needs their data sets."""
    if bench.data is None:
        found.reasons |= dict.fromkeys(("int8_worst_loss", "bf16_worst_loss"), "no data sets were named (--data)")
        return
    with bench.ours("precisions:build_losses", {"data": str(bench.data)}) as worker:
        told = worker.tell("losses")
    for precision in PRECISIONS[1:]:
        worst = max(loss[precision] for loss in told.values())
        found.estimates[f"{precision}_worst_loss"] = Estimate(worst, worst, worst)
    found.details["losses"] = told


def _equal(ours: Worker, others: dict[str, Worker], found: Found, **tolerance: float) -> dict[str, tuple[Worker, str]]:
    """The peers that give our features, with the call that is timed."""
    features = ours.answer("features")
    return {
        who: (worker, "repeated")
        for who, worker in others.items()
        if is_equal(who, worker, {"features": (features, worker.answer("features"))}, found, **tolerance)
    }


def _against(key: str, found: Found, times: dict[str, Times], *, ours: str, peer: str) -> None:
    """Our time as a multiple of the peer's in its faster setting."""
    ready = [name for name in times if name.startswith(f"{peer}/")]
    if not ready:
        found.reasons[key] = reason(found, f"{peer}/default")
        return
    faster = min(ready, key=lambda name: median(times[name].seconds))
    found.estimates[key] = compare(times, ours, faster)


def build_bare(job: Job) -> Calls:
    """`bare`: so many passes of the bare network; `features`: their answers."""
    opened, batch, passes = open_engine(job), job.number("batch"), job.passes
    images = torch.from_numpy(job.images(batch))
    forward, bare = opened.runtime.forward, bare_plan(batch)
    nothing = opened.engine.admit(task_of(opened.backbone, [0] * len(opened.backbone.sites), seed=0), "nothing")
    alone = plan([nothing] * batch)
    return Calls(
        {"bare": repeated(lambda: forward(images, bare), passes), "features": lambda: forward(images, alone)[0][1]},
        {"fast": opened.fast},
    )


def build_losses(job: Job) -> Calls:
    """`losses`: by task and precision, percentage points of accuracy against fp32."""
    torch.set_num_threads(job.threads)
    return Calls({"losses": lambda: lowered.losses(Path(job.text("data", "")), quick=job.quick)})

"""The bare backbone against everything else that runs it, and against the machine's own limit."""

from contextlib import ExitStack
from dataclasses import asdict

from benchmarks.engine.bench import Bench, Found, compare, measured, peers
from benchmarks.engine.contestants import BARE
from benchmarks.engine.peering import is_equal, reason
from benchmarks.measure import interval

BATCH = 8
KEYS = {
    "bare_vs_timm_eager": "timm_eager/default",
    "bare_vs_openvino": "openvino/default",
    "bare_vs_timm_compiled": "timm_compiled/default",
    "bare_vs_onnxruntime": "onnxruntime/default",
}
OURS = "ours/default"


def measure(bench: Bench, found: Found) -> None:
    """Everyone in both settings, ours too; the goals are against their defaults."""
    options = {"batch": BATCH}
    with ExitStack() as stack:
        own = {
            f"ours/{setting}": stack.enter_context(bench.ours("ours.bare", options, setting=setting))
            for setting in ("default", "tuned")
        }
        others = stack.enter_context(peers(bench, found, BARE, options))
        limit = stack.enter_context(bench.ours("limit", {}))
        features = own[OURS].answer("features")
        equal = {
            who: worker
            for who, worker in others.items()
            if is_equal(who, worker, {"features": (features, worker.answer("features"))}, found)
        }
        contestants = {name: (worker, "bare") for name, worker in own.items()}
        contestants |= {"engine.run": (own[OURS], "run"), "limit": (limit, "matmul")}
        contestants |= {name: (worker, "features") for name, worker in equal.items()}
        times, details = measured(contestants, rounds=bench.rounds)
        for key, rival in KEYS.items():
            if rival in times:
                found.estimates[key] = compare(times, OURS, rival)
            else:
                found.reasons[key] = reason(found, rival)
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

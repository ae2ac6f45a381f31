"""What is to be reached, under which key, and whether a figure reaches it. The keys are those of the JSON, exactly."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure to reach.

    Attributes:
        key: in the JSON.
        experiment: which measures it.
        what: in words.
        limit: to reach; None where the figure is reported only.
        most: whether `limit` is the most that is allowed, else the least.
        unit: behind the figure.
    """

    key: str
    experiment: str
    what: str
    limit: float | None
    most: bool = True
    unit: str = "×"

    def reached(self, value: float) -> bool:
        """Whether `value` is good enough; a figure without a limit always is."""
        if self.limit is None:
            return True
        return value <= self.limit if self.most else value >= self.limit

    def missed_by(self, value: float) -> float:
        """How far `value` is on the wrong side, as a share of the limit; 0 where it is reached."""
        if self.limit is None or self.reached(value):
            return 0.0
        return abs(value - self.limit) / self.limit


def _most(key: str, experiment: str, what: str, limit: float | None, unit: str = "×") -> Goal:
    return Goal(key, experiment, what, limit, unit=unit)


def _least(key: str, experiment: str, what: str, limit: float | None) -> Goal:
    return Goal(key, experiment, what, limit, most=False)


GOALS = (
    _most("bare_vs_timm_eager", "bare", "bare backbone, batch 8: our time against timm eager's", 0.58),
    _most("bare_vs_openvino", "bare", "bare backbone, batch 8: our time against OpenVINO's (fp32)", 1.00),
    _most("no_live_site_vs_bare", "adapters", "a task without a live site, against the bare backbone", 1.01),
    _most("mimi_276_vs_bare", "adapters", "a MiMi adapter with 276 neurons kept, against the bare backbone", 1.04),
    _most("full_adapters_vs_bare", "adapters", "full adapters, N = M/8 at 24 sites, against the bare backbone", 1.10),
    _most("mixed16_vs_single", "mixed", "16 tasks mixed in a batch of 16, against 1 task", 1.04),
    _most("mixed1000_vs_mixed16", "mixed", "1,000 resident tasks, a random one for each row, against 16", 1.05),
    _most("bank_bytes_vs_adapter_bytes", "mixed", "memory that 1,000 tasks take, against their weights' bytes", 1.3),
    _least("fanout8_stage4_speedup", "fanout", "8 tasks from stage 4 on, one image, against 8 single passes", 3.3),
    _least("fanout_vs_flop_ideal", "fanout", "other depths: the speed-up as a share of what FLOPs allow (worst)", 0.9),
    _least("fanout_bundled_speedup", "fanout", "the bundled tasks on one image, against single passes", None),
    _least("speedup_vs_peft_mixed", "peft", "8 tasks in a batch of 16: PEFT's time against ours", 2.0),
    _most("swap_resident_p99_ms", "swap", "swap to weights in memory, 99th percentile, while answering", 2.0, "ms"),
    _most("swap_store_p99_ms", "swap", "swap from the store, 99th percentile, while answering", 20.0, "ms"),
    _most("first_answer_s", "start", "process start to first answer, bundled backbone", 8.0, "s"),
    _least("cuda_bare_vs_compiled", "cuda", "CUDA, batch 64, bf16: throughput against timm max-autotune", 0.95),
    _least("cuda_mixed16_vs_compiled", "cuda", "CUDA, the same with 16 mixed tasks", 0.90),
    _most("cuda_batch1_p50_ms", "cuda", "CUDA, batch 1, latency, median", 1.5, "ms"),
    _most("cuda_batch1_p99_ms", "cuda", "CUDA, batch 1, latency, 99th percentile", 2.5, "ms"),
    _most("bare_vs_timm_compiled", "bare", "bare backbone, batch 8: our time against timm's under torch.compile", None),
    _most("bare_vs_onnxruntime", "bare", "bare backbone, batch 8: our time against ONNX Runtime's", None),
    _least(
        "speedup_vs_full_models",
        "peft",
        "8 tasks in a batch of 16: the time of one full model a task, against ours",
        None,
    ),
    _least("memory_of_full_models_vs_ours", "peft", "the same: the memory of those processes", None),
    _least(
        "speedup_vs_adapterhub_parallel", "adapterhub", "8 tasks, one image, ViT: AdapterHub's time against ours", None
    ),
    _least(
        "speedup_vs_adapterhub_split", "adapterhub", "8 tasks, an image each, ViT: AdapterHub's time against ours", None
    ),
)
EXPERIMENTS = tuple(dict.fromkeys(goal.experiment for goal in GOALS))


def missed(figures: Mapping[str, object]) -> dict[str, float]:
    """Of the figures that are there, those that do not reach their goal, and by which share of it."""
    found = {}
    for goal in GOALS:
        value = figures.get(goal.key)
        if isinstance(value, float) and not goal.reached(value):
            found[goal.key] = goal.missed_by(value)
    return found

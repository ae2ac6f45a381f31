"""The goals, and a run held against them: as Markdown tables and as figures. Goal keys are the keys of the JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure to reach.

    Attributes:
        key: in the JSON.
        experiment: which measures it.
        what: in words.
        limit: to reach; None if the figure is reported only.
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
        """Whether `value` reaches the goal; a figure without a limit always does."""
        if self.limit is None:
            return True
        return value <= self.limit if self.most else value >= self.limit

    def missed_by(self, value: float) -> float:
        """The distance of `value` from its limit, as a share of the limit; 0 if the goal is reached."""
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
    _most("bf16_vs_fp32", "precisions", "bare backbone, batch 8: bf16 against fp32, ours", 0.40),
    _most("bare_bf16_vs_openvino_bf16", "precisions", "the same: our time in bf16 against OpenVINO's in bf16", 0.85),
    _most("bare_bf16_vs_timm_bf16", "precisions", "the same: our time in bf16 against timm's under autocast", None),
    _most("int8_vs_bf16", "precisions", "the same: int8 against bf16, ours", 0.75),
    _most("mixed16_bf16_vs_single", "precisions", "16 tasks mixed in a batch of 16 in bf16, against 1 task", 1.06),
    _most("batch1_vs_openvino", "batch1", "one image: our time against OpenVINO's, the worst of the next four", 0.85),
    _most("batch1_swin_fp32_vs_openvino", "batch1", "one image, Swin-T, fp32", 0.85),
    _most("batch1_swin_bf16_vs_openvino", "batch1", "one image, Swin-T, bf16", 0.85),
    _most("batch1_nano_fp32_vs_openvino", "batch1", "one image, a Swin of the bundled backbone's shape, fp32", 0.85),
    _most("batch1_nano_bf16_vs_openvino", "batch1", "one image, a Swin of the bundled backbone's shape, bf16", 0.85),
    _most("int8_worst_loss", "losses", "accuracy that a bundled task loses in int8, the worst", 0.5, "points"),
    _most("bf16_worst_loss", "losses", "accuracy that a bundled task loses in bf16, the worst", 0.5, "points"),
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
    """The figures that do not reach their goal, and by which share of it."""
    found = {}
    for goal in GOALS:
        value = figures.get(goal.key)
        if isinstance(value, float) and not goal.reached(value):
            found[goal.key] = goal.missed_by(value)
    return found


def table(result: Mapping[str, Any]) -> str:
    """The circumstances, the goals and the peers as Markdown."""
    return "\n".join([*circumstances(result), "", *goals(result), "", *peers(result), "", *fractions(result)])


def circumstances(result: Mapping[str, Any]) -> list[str]:
    """The circumstances, which stand above every figure."""
    machine, libraries = result["machine"], ", ".join(map(" ".join, result["versions"].items()))
    changed = " with uncommitted changes" if result["uncommitted_changes"] else ""
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {result['threads']} threads; {machine['system']}; "
        f"{libraries}; commit {result['commit']}{changed}; {result['rounds']} interleaved rounds, medians of paired "
        "ratios with 95 % intervals."
    ]
    if result["quick"]:
        lines.append("**A quick run over small networks: everything works, and the figures claim nothing.**")
    if result["forced"]:
        lines.append("**Measured although the machine may have been loaded.**")
    return lines


def goals(result: Mapping[str, Any]) -> list[str]:
    """A line for each figure."""
    lines = ["| what | goal | measured | reached |", "|---|---:|---:|---|"]
    return lines + [
        f"| {goal.what} | {_limit(goal)} | {_measured(goal, result)} | {_verdict(goal, result)} |" for goal in GOALS
    ]


def _limit(goal: Goal) -> str:
    if goal.limit is None:
        return "reported"
    return f"{'≤' if goal.most else '≥'} {goal.limit:g} {goal.unit}"


def _measured(goal: Goal, result: Mapping[str, Any]) -> str:
    estimate = result["intervals"].get(goal.key)
    if estimate is None:
        return "—"
    spread = "" if estimate["low"] == estimate["high"] else f" ({estimate['low']:.3f} … {estimate['high']:.3f})"
    return f"{estimate['median']:.3f}{spread} {goal.unit}"


def _verdict(goal: Goal, result: Mapping[str, Any]) -> str:
    value = result[goal.key]
    if value is None:
        return f"not measured: {str(result['reasons'][goal.key]).splitlines()[-1]}"
    if goal.limit is None:
        return ""
    return "yes" if goal.reached(value) else f"no, by {goal.missed_by(value):.1%}"


def peers(result: Mapping[str, Any]) -> list[str]:
    """The measured peers with their versions, and the reasons why others were not measured."""
    lines = ["| peer / setting | state | versions |", "|---|---|---|"]
    for who, peer in sorted(result["peers"].items()):
        state = peer["state"] if peer["state"] == "measured" else f"{peer['state']}: {peer['reason'].splitlines()[-1]}"
        versions = ", ".join(f"{name} {version}" for name, version in peer.get("versions", {}).items())
        lines.append(f"| {who} | {state} | {versions} |")
    return lines


def fractions(result: Mapping[str, Any]) -> list[str]:
    """Each system's share of the speed of the machine's matrix products, if the bare backbone was measured."""
    bare = result["details"].get("bare")
    if not bare:
        return []
    limit = bare["limit_flops_per_second"]["median"] / 1e9
    lines = [
        f"Matrix products reach {limit:.0f} GFLOP/s here. Of that, on the bare backbone:",
        "",
        "| system | seconds a batch | share of the limit |",
        "|---|---:|---:|",
    ]
    for name, share in sorted(bare["fraction_of_limit"].items(), key=lambda item: -item[1]["median"]):
        spread = f"{share['median']:.2f} ({share['low']:.2f} … {share['high']:.2f})"
        lines.append(f"| {name} | {bare['times'][name]['median']:.3f} | {spread} |")
    return lines


OURS, THEIRS, LIMIT = "#2a6f97", "#adb5bd", "#c1121f"


def draw(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """One SVG file for each figure that was measured; returns them."""
    import matplotlib as mpl  # noqa: PLC0415 - of the extra `reports`

    drawn = []
    with mpl.rc_context({"svg.hashsalt": "mimi", "svg.fonttype": "none"}):  # the same run gives the same bytes
        for goal in GOALS:
            if result[goal.key] is not None:
                drawn.append(folder / f"{goal.key}.svg")
                _claim(goal, result).savefig(drawn[-1], metadata={"Date": None}, bbox_inches="tight")
    return drawn


def _claim(goal: Goal, result: Mapping[str, Any]) -> "Figure":
    from matplotlib.figure import Figure  # noqa: PLC0415 - of the extra `reports`

    times = result["details"].get(goal.experiment, {}).get("times", {})
    figure = Figure(figsize=(8, 1.6 + 0.28 * len(times)))
    if not times:
        _interval(figure.subplots(), goal, result)
        return figure
    above, below = figure.subplots(2, 1, height_ratios=[1, max(1, 0.4 * len(times))])
    _interval(above, goal, result)
    _bars(below, times)
    figure.tight_layout()
    return figure


def _interval(axes: "Axes", goal: Goal, result: Mapping[str, Any]) -> None:
    found = result["intervals"][goal.key]
    middle = found["median"]
    axes.errorbar(
        [middle], [0], xerr=[[middle - found["low"]], [found["high"] - middle]], fmt="o", color=OURS, capsize=4
    )
    if goal.limit is not None:
        sign = "≤" if goal.most else "≥"
        axes.axvline(goal.limit, color=LIMIT, linestyle="--", label=f"goal {sign} {goal.limit:g} {goal.unit}")
        axes.legend(loc="upper right", fontsize=8, frameon=False)
    quick = " (quick run: no claim)" if result["quick"] else ""
    axes.set_title(f"{goal.what}{quick}", fontsize=9, loc="left")
    axes.set_yticks([])
    axes.set_xlabel(goal.unit, fontsize=8)
    axes.margins(x=0.4)


def _bars(axes: "Axes", times: Mapping[str, Any]) -> None:
    names = sorted(times, key=lambda name: times[name]["median"], reverse=True)
    colours = [OURS if name.startswith("ours") else THEIRS for name in names]
    axes.barh(names, [times[name]["median"] for name in names], color=colours)
    axes.set_xlabel("seconds, median", fontsize=8)
    axes.tick_params(labelsize=8)

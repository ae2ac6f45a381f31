"""The JSON of a run as Markdown: what was to be reached, what was measured, and by how much it was missed."""

from collections.abc import Mapping
from typing import Any

from benchmarks.engine.goals import GOALS, Goal


def table(result: Mapping[str, Any]) -> str:
    """Goals, peers, and under which circumstances."""
    return "\n".join([*circumstances(result), "", *goals(result), "", *peers(result), "", *fractions(result)])


def circumstances(result: Mapping[str, Any]) -> list[str]:
    """What stands above every figure."""
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
    """Who was measured, with what, and who was not and why."""
    lines = ["| peer / setting | state | versions |", "|---|---|---|"]
    for who, peer in sorted(result["peers"].items()):
        state = peer["state"] if peer["state"] == "measured" else f"{peer['state']}: {peer['reason'].splitlines()[-1]}"
        versions = ", ".join(f"{name} {version}" for name, version in peer.get("versions", {}).items())
        lines.append(f"| {who} | {state} | {versions} |")
    return lines


def fractions(result: Mapping[str, Any]) -> list[str]:
    """How near everyone comes to the machine's matrix products, where the bare backbone was measured."""
    bare = result["details"].get("bare")
    if not bare:
        return []
    limit = bare["limit_flops_per_second"]["median"] / 1e9
    lines = [
        f"Matrix products reach {limit:.0f} GFLOP/s here. Of that, on the bare backbone:",
        "",
        "| contestant | seconds a batch | share of the limit |",
        "|---|---:|---:|",
    ]
    for name, share in sorted(bare["fraction_of_limit"].items(), key=lambda item: -item[1]["median"]):
        spread = f"{share['median']:.2f} ({share['low']:.2f} … {share['high']:.2f})"
        lines.append(f"| {name} | {bare['times'][name]['median']:.3f} | {spread} |")
    return lines

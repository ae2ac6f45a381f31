"""The seventeen promises held against a run of `torture`, and the run as a Markdown page. Pure functions.

A promise is reached only if the run shows it at the promised size. Where a run is smaller, or where another check shows
the promise, the page says so.
"""

from collections.abc import Iterator
from statistics import median

from tests.stress.drains import lost
from tests.stress.promise import (
    ELSEWHERE,
    Figure,
    Run,
    access,
    bite,
    disk,
    engine,
    exact,
    memory,
    of_tests,
    sized,
    supply,
)

OK_STATUSES = frozenset({"200", "503"})
MOST_GROWTH = 1.5  # times the quiet p99: "moves by less than half"


def figures(run: Run) -> list[Figure]:
    """All seventeen."""
    return [
        _no_500(run),
        _cheap(run),
        memory(run),
        _swaps(run),
        _storm(run),
        _kills(run),
        disk(run),
        _overload(run),
        _slow(run),
        _cancelled(run),
        _drains(run),
        engine(run),
        _damage(run),
        exact(run),
        access(run),
        bite(run),
        supply(run),
    ]


def moved(attack: Run) -> float | None:
    """p99 of good traffic under an attack as a multiple of that just before; None if good requests failed.

    Of each, the median over short windows: the machine may be shared.
    """
    good, quiet = attack["good"], attack["quiet"]
    if good["failed"] or not good["windows_p99_ms"]:
        return None
    return float(median(good["windows_p99_ms"]) / median(quiet["windows_p99_ms"]))


def withstood(attack: Run) -> bool:
    """Whether no good request failed, p99 moved by less than half, and the server lives and recovers."""
    times = moved(attack)
    return times is not None and times < MOST_GROWTH and attack["alive"] and attack["recovery_s"] is not None


def internal_errors(run: Run) -> int:
    """Answers of 500 to anyone."""
    sources = [
        *run["quiet"],
        *(part for attack in run.get("attacks", {}).values() for part in (attack["good"], attack["attacker"])),
    ]
    found: int = sum(source.get("statuses", {}).get("500", 0) for source in sources)
    return found + sum(1 for each in run.get("corpus", {}).values() if each["status"] == 500)


def _no_500(run: Run) -> Figure:
    promise = "no input makes a 500 or a crash: 50 attacks by hand, 100,000 generated, 10^6 fuzzed"
    tried = len(run.get("corpus", {})) + len(run.get("attacks", {}))
    errors = internal_errors(run) + run["internal_errors"]
    crashes = sum(not attack["alive"] for attack in run.get("attacks", {}).values())
    wrong = [name for name, each in run.get("corpus", {}).items() if not each["right"]]
    text = f"{tried} attacks by hand: {errors} answers of 500, {crashes} crashes, {len(wrong)} wrong answers"
    text += f" ({', '.join(wrong)})" if wrong else ""
    harm = bool(errors or crashes)
    made, sent, fuzzed = (
        run.get("checks", {}).get("generated"),
        run.get("generated"),
        run.get("fuzz", {}).get("runs", 0),
    )
    if made is None or sent is None:
        return Figure(1, promise, f"{text}; generated inputs: {ELSEWHERE}", False if harm else None, harm)
    harm = harm or bool(sent["harm"])
    text += f"; {sent['requests']} generated requests: {sent['harm']} answers of 500, crashes or traces; "
    text += f"{made['examples']} generated inputs ({of_tests(made)}); {fuzzed} fuzzed (`tests.fuzz.header`)"
    full = sent["requests"] + made["examples"] >= 100_000 and fuzzed >= 1_000_000
    return sized(1, promise, text, holds=not (harm or wrong or made["failed"]), full=full, harm=harm)


def _cheap(run: Run) -> Figure:
    promise = "bad input costs < 50 ms of processor and < 32 MiB (images 128); p99 moves < 20 % beside 10 % attacks"
    refused = {name: each for name, each in run.get("corpus", {}).items() if each["refused"]}
    if not refused:
        return Figure(2, promise, ELSEWHERE, None)
    costly = [name for name, each in refused.items() if each["cpu_ms"] > 50 or each["growth_mib"] > _room(name)]
    mixed = run.get("attacks", {}).get("mixed")
    times = moved(mixed) if mixed else None
    text = f"{len(refused) - len(costly)} of {len(refused)} are that cheap"
    text += f" (not: {', '.join(costly)})" if costly else ""
    text += f"; p99 beside attacks {times:.2f} × quiet" if times else "; p99 beside attacks not measured"
    return Figure(2, promise, text, not costly and times is not None and times < 1.2)


def _room(name: str) -> float:
    return 128.0 if name.startswith("image") else 32.0


def _swaps(run: Run) -> Figure:
    promise = "1,000 changes while 32 clients predict: 0 wrong answers, p99 < 2 × quiet"
    found = run.get("swaps")
    if not found:
        return Figure(4, promise, ELSEWHERE + " (`swaps`)", None)
    changes, answers = sum(found["changes"].values()), found["swapping"]["answers"]
    times = found["swapping"]["latency_ms"]["p99"] / found["quiet"]["latency_ms"]["p99"]
    text = f"{changes} changes, {answers} answers: {found['harm']} wrong, p99 {times:.2f} × quiet"
    return sized(
        4, promise, text, holds=not found["harm"] and times < 2, full=changes >= 1000, harm=bool(found["harm"])
    )


def _storm(run: Run) -> Figure:
    promise = "32 threads × 1,024 operations on one task: 0 wrong"
    found = run.get("storm")
    if not found:
        return Figure(5, promise, ELSEWHERE + " (`storm`)", None)
    text = f"{found['threads']} threads × {found['rounds']}: {found['harm']} wrong of {found['operations']}"
    return sized(5, promise, text, holds=not found["harm"], full=found["rounds"] >= 1024, harm=bool(found["harm"]))


def _kills(run: Run) -> Figure:
    promise = "200 × kill -9: 0 lost, 0 torn, 0 leftovers"
    found = run.get("kills")
    if not found:
        return Figure(6, promise, ELSEWHERE + " (`kills`)", None)
    stores = [found["sqlite"], found["folder"]]
    count, harm = sum(each["kills"] for each in stores), sum(each["harm"] for each in stores)
    text = f"{count} kills, {sum(each['acknowledged'] for each in stores)} acknowledged versions: {harm} harmed"
    full = min(each["kills"] for each in stores) >= 200
    return sized(6, promise, text, holds=not harm, full=full, harm=bool(harm))


def _overload(run: Run) -> Figure:
    promise = "3 × capacity, 600 kept connections, 743 new ones a second: goodput ≥ 0.9, refusals 503 within 100 ms, "
    promise += "back to normal in 5 s"
    found = run.get("overload")
    if not found:
        return Figure(8, promise, ELSEWHERE, None)
    loads = {f"{found['kept']['job']['clients']} kept": found["kept"], "new": found["new"]}
    text = "; ".join(f"{name} connections: {_loaded(each)}" for name, each in loads.items())
    asked = ", ".join(f"{each['job']['rate']:.0f}/s for {each['job']['seconds']:.0f} s" for each in loads.values())
    text = f"capacity {found['capacity_per_second']:.0f}/s; {asked}; {text}"
    text += f"; at {found['commit'][:9]}" if found.get("commit", run["commit"]) != run["commit"] else ""
    return sized(8, promise, text, holds=all(map(_held, loads.values())), full=_full_flood(found), harm=False)


def _full_flood(found: Run) -> bool:
    kept, new = found["kept"]["job"], found["new"]["job"]
    rate, seconds = (min(kept[name], new[name]) for name in ("rate", "seconds"))
    return bool(kept["clients"] >= 600 and rate >= 743 and seconds >= 60)


def _loaded(each: Run) -> str:
    others = {status: count for status, count in each["statuses"].items() if status not in OK_STATUSES}
    late = each["refusals"]["p99_ms"]
    text = (
        f"goodput {each['goodput']:.2f}, refused in {late:.0f} ms (p99)" if late else f"goodput {each['goodput']:.2f}"
    )
    back = each["recovery_s"]
    back_after = "more than 30" if back is None else f"{back:.1f}"
    taken = f"the load took {each['client_cpu_share']:.2f} cores"
    return f"{text}, other failures {others or 'none'}, back after {back_after} s, {taken}"


def _held(each: Run) -> bool:
    late = each["refusals"]["p99_ms"]
    good = each["goodput"] >= 0.9 and not set(each["statuses"]) - OK_STATUSES
    return good and (late is None or late < 100) and (each["recovery_s"] or 1e9) < 5


def _slow(run: Run) -> Figure:
    promise = "500 slow-loris and 500 slow uploads: good p99 < 2 ×, all closed within 15 s"
    found = {name: run["attacks"][name] for name in ("slow_headers", "slow_bodies") if name in run.get("attacks", {})}
    if not found:
        return Figure(9, promise, ELSEWHERE, None)
    parts, reached = [], True
    for name, attack in found.items():
        times, longest = moved(attack), attack["attacker"]["longest_held_s"]
        parts.append(f"{name}: p99 {_times(times)}, open for {longest:.1f} s at most")
        reached = reached and times is not None and times < 2 and attack["attacker"]["closed"] > 0 and longest <= 15
    return Figure(9, promise, "; ".join(parts), reached)


def _cancelled(run: Run) -> Figure:
    promise = "half of 10,000 requests cancelled: nobody else harmed, nothing left"
    found = run.get("cancelled")
    if not found:
        return Figure(10, promise, ELSEWHERE, None)
    left = found["descriptors_after"] - found["descriptors_before"]
    asked = found["sent"] + found["given_up"]
    text = f"{found['given_up']} of {asked} cancelled: {found['failed']} others failed, {left} descriptors left"
    harm = bool(found["failed"])
    return sized(10, promise, text, holds=not harm and left <= 0, full=asked >= 10_000, harm=harm)


def _drains(run: Run) -> Figure:
    promise = "100 SIGTERMs under traffic: 0 in flight lost, ended within 30 s"
    found = run.get("drains")
    if not found:
        return Figure(11, promise, ELSEWHERE, None)
    slowest = max(each["seconds"] for each in found)
    bad = sum(each["exit"] != 0 for each in found)
    gone, rolled = lost(found), run.get("rolling")
    text = f"{len(found)} drains: slowest {slowest:.1f} s, {gone} answers lost, {bad} with an exit status other than 0"
    if rolled:
        good = rolled["good"]
        text += f"; {len(rolled['stops'])} restarts behind nginx: {good['failed']} of {good['sent']} requests failed"
    holds = not (bad or gone or (rolled and rolled["harm"])) and slowest <= 30
    return sized(11, promise, text, holds=holds, full=len(found) >= 100, harm=bool(bad))


def _damage(run: Run) -> Figure:
    promise = "start with 1,000 adapters, 100 damaged: 900 served, 100 listed with reasons, ready in 15 s"
    found = run.get("damage")
    if not found:
        return Figure(13, promise, ELSEWHERE + " (`damage`)", None)
    text = f"{found['tasks']} tasks, {found['damaged']} damaged: {found['sound_answers'].get('200', 0)} served, "
    text += f"{found['listed_with_reason']} listed with reasons, ready in {found['ready_s']:.1f} s"
    holds = not found["harm"] and found["ready_s"] <= 15
    harm = "500" in found["sound_answers"] or "500" in found["damaged_answers"]
    return sized(13, promise, text, holds=holds, full=found["tasks"] >= 1000, harm=harm)


def _times(times: float | None) -> str:
    return "— (requests failed)" if times is None else f"{times:.2f} ×"


def markdown(run: Run) -> str:
    """The whole page."""
    parts = [_head(run), *([_attacks(run)] if run.get("attacks") else []), _promises(run)]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _head(run: Run) -> Iterator[str]:
    machine, (before, after) = run["machine"], (each["p99_ms"] for each in run["quiet"])
    changed = ", with uncommitted changes" if run["uncommitted_changes"] else ""
    yield "# Reliability: what attacks do to good traffic"
    yield ""
    yield "`make torture SECONDS=…` (`python -m tests.stress torture`) writes this page; do not edit it. Each"
    yield "attack is described in [tests/attacks](../tests/attacks/README.md) and in"
    yield "`tests/stress/attackers.py`."
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| machine | {machine['processor']}, {machine['cores']} cores, {machine['system']} |"
    yield "| shared by | the server, the good traffic and the attacker |"
    yield f"| load average at the start | {run['load_average'][0]:.1f} |"
    yield f"| commit | {run['commit']}{changed} |"
    yield f"| good traffic | {run['rate']:.0f} requests a second, half of them on new connections |"
    yield f"| each attack | {run['seconds_of_each']:.0f} s, after as many seconds in quiet |"
    yield f"| p99 in quiet | {before:.0f} ms before the attacks, {after:.0f} ms after |"


def _attacks(run: Run) -> Iterator[str]:
    found = run["attacks"]
    held = sum(withstood(attack) for attack in found.values())
    yield "## Attacks"
    yield ""
    yield f"{held} of {len(found)} withstood: no good request failed, p99 below {MOST_GROWTH} × quiet, back in 30 s."
    yield "p99 is that of windows of 2 s, about 40 requests each; the median of the windows counts, beside the"
    yield "median of those in quiet, measured before every second attack. A stall spoils one window."
    yield ""
    yield "| attack | good p99, × quiet | good failed | memory, MiB | slowest probe, s | back, s | withstood |"
    yield "|---|---:|---:|---:|---:|---:|---|"
    for name, attack in found.items():
        server, back = attack["server"], attack["recovery_s"]
        good, times, failed = attack["good"], moved(attack), server["failed_probes"]
        quiet = median(attack["quiet"]["windows_p99_ms"])
        cells = [
            f"{name}: {attack['tries']}",
            "—" if times is None else f"{times:.2f} (of {quiet:.0f} ms)",
            f"{good['failed']} of {good['sent']}",
            f"+{server['peak_mib'] - server['before_mib']:.0f}",
            f"{server['slowest_probe_ms'] / 1e3:.2f}" + (f" ({failed} failed)" if failed else ""),
            "more than 30" if back is None else f"{back:.1f}",
            "yes" if withstood(attack) else "**no**",
        ]
        yield f"| {' | '.join(cells)} |"


def _promises(run: Run) -> Iterator[str]:
    found = figures(run)
    reached = sum(figure.reached is True for figure in found)
    yield "## The seventeen promises"
    yield ""
    yield f"This run shows {reached} of {len(found)} at their full size."
    yield ""
    yield "| | promise | this run | reached |"
    yield "|---:|---|---|---|"
    words = {True: "yes", False: "**no**", None: "not shown"}
    for figure in found:
        word = "holds, at a smaller size" if figure.smaller else words[figure.reached]
        yield f"| {figure.number} | {figure.promise} | {figure.measured} | {word} |"

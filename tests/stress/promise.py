"""One promise held against what was measured; and the promises that processes, tests and tools show. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Run = Mapping[str, Any]
ELSEWHERE = "not measured in this run"
READY_SECONDS, NOTICE_SECONDS = 15.0, 5.0
MUTATION_SCORE = 0.85


@dataclass(frozen=True, slots=True)
class Figure:
    """One promise.

    Attributes:
        number: in the list of promises.
        promise: what is promised, with its size.
        measured: what this run has shown.
        reached: None if this run cannot tell.
        harm: whether something happened that must never happen, at any size.
        smaller: whether it holds so far, and the run is only smaller than the promise.
    """

    number: int
    promise: str
    measured: str
    reached: bool | None
    harm: bool = False
    smaller: bool = False


def sized(number: int, promise: str, measured: str, *, holds: bool, full: bool, harm: bool) -> Figure:
    """A promise that holds or not, at its full size or at a smaller one."""
    return Figure(number, promise, measured, holds and full, harm, smaller=holds and not full)


def of_tests(found: Run) -> str:
    """Outcomes of a group of tests."""
    skipped = f", {found['skipped']} skipped" if found["skipped"] else ""
    return f"{found['passed']} tests pass, {found['failed']} fail{skipped}"


def memory(run: Run) -> Figure:
    """3."""
    promise = "memory flat: < 1 MiB per 10,000 requests, < 50 MB over 1,000,000"
    found = run.get("flat")
    if not found:
        return Figure(3, promise, ELSEWHERE, None)
    slope, grown = found["slope_mib_per_10000"], found["growth_mib"]
    text = f"{found['requests']} requests: {slope:+.2f} MiB per 10,000, {grown:+.1f} MiB in all"
    return sized(3, promise, text, holds=slope < 1 and grown < 50, full=found["requests"] >= 1_000_000, harm=False)


def disk(run: Run) -> Figure:
    """7."""
    promise = "full disk, EIO, read-only: 507, old version answers, no leftovers"
    found = run.get("checks", {}).get("disk")
    if not found:
        return Figure(7, promise, ELSEWHERE, None)
    return Figure(7, promise, of_tests(found), not (found["failed"] or found["skipped"]))


def engine(run: Run) -> Figure:
    """12."""
    promise = "a dead or hung engine: noticed in 5 s, waiters get 503, ready again in 15 s with 1,000 adapters"
    found = run.get("supervised")
    if not found:
        return Figure(12, promise, ELSEWHERE, None)
    parts = [
        f"{name}: noticed in {each['noticed_s']:.1f} s, answer {each['status']}, "
        f"ready {each['ready_again_s']:.1f} s later"
        for name, each in found["faults"].items()
    ]
    every = found["faults"].values()
    quick = all(each["noticed_s"] <= NOTICE_SECONDS and each["ready_again_s"] <= READY_SECONDS for each in every)
    text = f"{found['tasks']} adapters; {'; '.join(parts)}"
    harm = bool(found["harm"])
    return sized(12, promise, text, holds=quick and not harm, full=found["tasks"] >= 1000, harm=harm)


def exact(run: Run) -> Figure:
    """14."""
    promise = "batched and single answers agree to 1e-5, a restarted server's to the bit"
    found, restarts = run.get("exact"), run.get("supervised")
    if not found or not restarts:
        return Figure(14, promise, ELSEWHERE, None)
    toll, same = found["toll"], [each["same_answers"] for each in restarts["faults"].values()]
    text = f"{toll['answers']} batched answers beside {toll['swaps']} swaps, largest difference "
    text += f"{toll['worst_difference']:.1e}; same bits after {sum(same)} of {len(same)} restarts"
    harm = bool(toll["wrong"] or not all(same))
    return Figure(14, promise, text, not harm and toll["worst_difference"] <= 1e-5, harm)


def access(run: Run) -> Figure:
    """15."""
    promise = "every route needs its key; 50 error bodies hold no secret, no path, no trace"
    found = run.get("checks", {}).get("access")
    bodies = [each for each in run.get("corpus", {}).values() if each["refused"]]
    if not found or not bodies:
        return Figure(15, promise, ELSEWHERE, None)
    leaks = sum(each["leaks"] for each in bodies)
    text = f"every route of OpenAPI: {of_tests(found)}; {leaks} of {len(bodies)} error bodies tell what they should not"
    holds = not (found["failed"] or found["skipped"] or leaks)
    return sized(15, promise, text, holds=holds, full=len(bodies) >= 50, harm=bool(leaks))


def bite(run: Run) -> Figure:
    """16."""
    promise = "mutation score ≥ 85 % in artifact checks, limits and images"
    found = run.get("mutants")
    if not found:
        return Figure(16, promise, ELSEWHERE + " (`mutants`)", None)
    modules = found["modules"].values()
    killed, survived = (sum(len(each[kind]) for each in modules) for kind in ("killed", "survived"))
    tested, possible = killed + survived, sum(each["possible"] for each in modules)
    text = f"{killed} of {tested} mutants killed ({killed / max(1, tested):.0%}), a sample of {possible} "
    text += f"in {len(modules)} of 7 modules; at {found['commit'][:9]}"
    enough = len(modules) == 7 and all(len(each["killed"]) + len(each["survived"]) >= 10 for each in modules)
    return sized(16, promise, text, holds=killed >= MUTATION_SCORE * tested, full=enough, harm=False)


def supply(run: Run) -> Figure:
    """17."""
    promise = "versions locked with hashes, SBOM, image non-root and read-only"
    found = run.get("checks", {}).get("supply")
    if not found:
        return Figure(17, promise, ELSEWHERE, None)
    text = f"locks, Dockerfile and compose: {of_tests(found)}; known vulnerabilities are not looked up here"
    return sized(17, promise, text, holds=not found["failed"], full=False, harm=False)

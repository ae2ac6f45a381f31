"""Fails when a coverage report in JSON is below the project's gates.

`coverage report --fail-under` mixes lines and branches into one figure. The gates here are for branches alone: one for
the whole project, and a higher one for `adapters_store`.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Gate:
    """At least `percent` of the branches of the files under `prefix` are taken."""

    prefix: str
    percent: float


GATES = (Gate("", 90.0), Gate("adapters_store/", 95.0))


def branches(report: dict[str, dict[str, dict[str, dict[str, int]]]], prefix: str) -> tuple[int, int]:
    """Branches taken and branches there, in the files under `prefix`."""
    summaries = [entry["summary"] for name, entry in report["files"].items() if name.startswith(prefix)]
    return sum(each["covered_branches"] for each in summaries), sum(each["num_branches"] for each in summaries)


def main(arguments: list[str]) -> int:
    """Prints one line a gate; the exit status is 1 if one is not met."""
    report = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    failed = False
    for gate in GATES:
        taken, there = branches(report, gate.prefix)
        percent = 100 * taken / max(there, 1)
        failed |= there == 0 or percent < gate.percent
        print(f"{gate.prefix or 'all':16} {percent:6.2f} % of {there} branches (gate {gate.percent:g} %)")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

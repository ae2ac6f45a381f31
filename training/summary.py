"""Mean ± sd tables from the JSON lines of a study.

python -m training.summary docs/results/gtsrb.jsonl > docs/results/gtsrb.md
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

Row = dict[str, Any]

_HEADER = ("after cycle", "epochs", "method", "learning rate", "neurons", "live sites", "adapter params", "MFLOPs",
           "validation", "test", "seeds")  # fmt: skip


def summarise(rows: Iterable[Row]) -> str:
    """One line per cycle and method, mean ± standard deviation over seeds; Markdown."""
    groups: dict[tuple[int, int, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[(row["cycle"] if row["epochs"] else -1, row["epochs"], row["method"])].append(row)
    lines = [_HEADER, tuple("---" for _ in _HEADER)]
    lines += [_cells(*key, groups[key]) for key in sorted(groups)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cells(cycle: int, epochs: int, method: str, rows: Sequence[Row]) -> tuple[str, ...]:
    rates = sorted({row["learning_rate"] for row in rows if row["learning_rate"]})
    return (
        "-" if cycle < 0 else str(cycle),
        "converged" if cycle < 0 else str(epochs),
        method,
        ", ".join(f"{rate:g}" for rate in rates) or "-",
        _spread([row["neurons"] for row in rows], "{:.0f}"),
        _spread([row["live_sites"] for row in rows], "{:.1f}"),
        _spread([row["adapter_params"] for row in rows], "{:,.0f}"),
        _spread([row["gflops"] * 1e3 for row in rows], "{:.2f}"),
        _spread([row["val_top1"] for row in rows], "{:.3f}"),
        _spread([row["test_top1"] for row in rows], "{:.3f}"),
        str(len(rows)),
    )


def _spread(values: Sequence[float], form: str) -> str:
    """Mean, and standard deviation where the values differ."""
    middle = form.format(mean(values))
    if len(set(values)) == 1:
        return middle
    return f"{middle} ± {form.format(stdev(values))}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    lines = parser.parse_args().runs.read_text(encoding="utf-8").splitlines()
    print(summarise([json.loads(line) for line in lines]))


if __name__ == "__main__":
    main()

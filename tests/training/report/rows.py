"""Rows of a comparison to draw and to tabulate."""

import json
from pathlib import Path

from training.jsonl import Row, add_rows

SCRIPT = "<script>alert(1)</script>"


def row(method: str, seed: int, cycle: int, **changes: object) -> Row:
    """One row of today's kind; accuracies differ by seed and cycle."""
    made: Row = {
        "method": method, "dataset": "small", "seed": seed, "purpose": "study", "per_class": 50, "cycle_epochs": 2,
        "arena": "aaaaaaaa", "cell": method, "cycle": cycle, "epochs": 2 * (cycle + 1), "learning_rate": 1e-3,
        "val_top1": 0.5 + 0.1 * cycle, "test_top1": 0.4 + 0.1 * cycle + 0.02 * seed, "adapter_params": 100,
        "head_params": 50, "gflops": 2.0, "gflops_paper": 1.9, "shared_gflops": 0.8, "first_live_site": 2,
        "seconds": 60.0,
    }  # fmt: skip
    return made | changes


def comparison(seeds: int = 2) -> list[Row]:
    """A probe, a method, MiMi over two sizes, and vanilla adapters of its second size."""
    rows: list[Row] = []
    for seed in range(seeds):
        rows.append(row("linear-probe", seed, 0, epochs=0, learning_rate=None, adapter_params=0, shared_gflops=1.9))
        rows += [row("lora", seed, cycle) for cycle in range(2)]
        for cycle, widths in enumerate([[4, 4, 4, 4], [0, 2, 3 + seed, 3 - seed]]):
            size = sum(widths)
            facts = {"widths": widths, "sigma": 512 / size, "adapter_params": 10 * size, "file_bytes": 40 * size}
            rows.append(row("mimi", seed, cycle, **facts))
        rows.append(row("vanilla-after-1", seed, 1, widths=[2, 2, 2, 2], sigma=64.0, adapter_params=80))
    return rows


def earlier(method: str, seed: int, cycle: int, **changes: object) -> Row:
    """One line of the studies before."""
    made = row(method, seed, cycle, **changes)
    unknown = ("arena", "cell", "gflops_paper", "shared_gflops", "sigma", "file_bytes")
    return {key: value for key, value in made.items() if key not in unknown}


def written(folder: Path, rows: list[Row], name: str = "runs.jsonl") -> Path:
    """A file of rows."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path


def logged(folder: Path, rows: list[Row]) -> Path:
    """A work folder with what the trainings of `rows` logged."""
    for each in rows:
        for epoch in range(2):
            line = {**each, "rate": each["learning_rate"], "epoch": epoch, "validation": 0.1 * (epoch + 1)}
            add_rows(folder / each["method"] / str(each["seed"]) / "progress.jsonl", [line])
    return folder

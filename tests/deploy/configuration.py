"""Readers for the files in deploy/: YAML, alerts, and the dashboard."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
COMPOSE_FILES = (COMPOSE, *sorted((ROOT / "deploy").glob("compose.*.yml")))
PROMETHEUS = ROOT / "deploy/prometheus/prometheus.yml"
RULES = ROOT / "deploy/prometheus/rules.yml"
DASHBOARD = ROOT / "deploy/grafana/dashboards/mimi.json"
RUNBOOK = ROOT / "docs/deploying.md"
REFERENCE = ROOT / "docs/reference/metrics.md"

needs_prometheus = pytest.mark.skipif(
    shutil.which("promtool") is None or shutil.which("prometheus") is None,
    reason="prometheus is not installed (on Debian: apt-get install prometheus)",
)
_METRIC = re.compile(r"\b(?:mimi|process)_[a-z0-9_]+")


def read(file: Path) -> Any:  # noqa: ANN401
    """A YAML file as plain values."""
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def alerts() -> list[dict[str, Any]]:
    """Every alert rule."""
    return [rule for group in read(RULES)["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Every panel of the dashboard, rows left out."""
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """Every query of the dashboard with its panel's title, as Grafana would send it."""
    for panel in panels():
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$task", ".*")
            yield panel["title"], query


def metrics_in(query: str) -> set[str]:
    """The names of metrics in a query, without what Prometheus adds to histograms."""
    return {re.sub(r"_(?:bucket|sum|count)$", "", name) for name in _METRIC.findall(query)}

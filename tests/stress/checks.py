"""Promises that the project's own tests show: which tests, how many passed, and how many inputs they made up."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.stress.wire import ROOT

CHECKS: Mapping[str, Sequence[str]] = {  # by what they show
    "generated": (
        "tests/adapters_store/test_artifact_properties.py",
        "tests/service/http/test_hostile_bytes.py",
        "tests/service/http/test_multipart.py",
        "tests/service/http/test_payload.py",
    ),
    "disk": (
        "tests/adapters_store/test_limits_of_the_disk.py",
        "tests/service/test_full_disk.py",
    ),
    "access": (
        "tests/service/http/test_openapi.py",
        "tests/service/access",
    ),
    "supply": (
        "tests/deploy/test_locks.py",
        "tests/deploy/test_dockerfile.py",
        "tests/deploy/test_compose.py",
    ),
}
_MOST_SECONDS = 300.0
_EXAMPLES = re.compile(r"(\d+) passing, (\d+) failing,? and (\d+) invalid test cases")


def run() -> dict[str, Any]:
    """All of them, one group after the other."""
    return {name: _counted(files) for name, files in CHECKS.items()}


def _counted(files: Sequence[str]) -> dict[str, Any]:
    """Run tests in a process of their own; how many there were by outcome, and examples of hypothesis."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-show-statistics"]
        ran = subprocess.run(
            [*command, f"--junitxml={report}", *files],
            cwd=ROOT, capture_output=True, text=True, timeout=_MOST_SECONDS, check=False,
        )  # fmt: skip
        if not report.exists():
            raise RuntimeError(f"pytest wrote no report:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
        suite = ElementTree.parse(report).getroot().find("testsuite")
    counts = {name: int(suite.get(name, 0)) if suite is not None else 0 for name in ("tests", "failures", "errors")}
    skipped = int(suite.get("skipped", 0)) if suite is not None else 0
    examples = sum(sum(map(int, found)) for found in _EXAMPLES.findall(ran.stdout))
    failed = counts["failures"] + counts["errors"]
    return {
        "files": list(files),
        "passed": counts["tests"] - failed - skipped,
        "failed": failed,
        "skipped": skipped,
        "examples": examples,
    }

"""Servers as processes of their own, to be signalled and killed."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.service.live import PATIENCE

ROOT = Path(__file__).parents[2]


@contextmanager
def running(module: str, **settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`python -m module` with these MIMI_ settings and no others, killed at the end if it still runs.

    Yields the process when it has printed its address, and the address.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIMI_")}
    wanted = {f"MIMI_{name.upper()}": value for name, value in {"port": "0", **settings}.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", module], env={**kept, **wanted}, cwd=ROOT, text=True, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, f"{line!r} names no address"
        yield process, found.group()
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)

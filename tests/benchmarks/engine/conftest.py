"""Workers over the contestants of `rivals`."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.engine.job import Job
from benchmarks.engine.pipe import Worker

Start = Callable[[str], Worker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a worker of a kind; all are ended afterwards."""
    with ExitStack() as stack:

        def started(kind: str) -> Worker:
            job = Job("tests.benchmarks.engine.rivals", str(tmp_path), 1, options={"kind": kind})
            return stack.enter_context(Worker(job))

        yield started

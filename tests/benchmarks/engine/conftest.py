"""Workers over the systems of `fake_systems`."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.engine.pipe import Job, Worker

Start = Callable[[str], Worker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a worker of a kind; all are ended afterwards."""
    with ExitStack() as stack:

        def started(kind: str) -> Worker:
            job = Job("tests.benchmarks.engine.fake_systems:build", str(tmp_path), 1, options={"kind": kind})
            return stack.enter_context(Worker(job))

        yield started

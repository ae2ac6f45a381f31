"""docs/architecture.md names the files that a prediction passes: a real request is traced through all threads."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from service.settings import Settings
from tests.service.adapters import make
from tests.service.asking import raw
from tests.service.gate import until
from tests.service.live import serving

ROOT = Path(__file__).resolve().parents[2]
SERVICE = f"{ROOT}/service/"
# One-line helpers, uvicorn's clock, and work in the background.
UNNAMED = {
    f"service/{name}.py"
    for name in ("http/app", "process/server", "settings", "tasks/registrar", "tasks/prefetch", "executor")
}


@dataclass
class Trace:
    """The files of `service/` whose functions were called while `on`."""

    on: bool = False
    files: set[str] = field(default_factory=set)

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        """A profile function of `threading.setprofile`."""
        del argument
        file = frame.f_code.co_filename
        if self.on and event == "call" and file.startswith(SERVICE):
            self.files.add(file.removeprefix(f"{ROOT}/"))


@contextmanager
def traced() -> Iterator[Trace]:
    """A trace of all threads that are started inside."""
    trace = Trace()
    threading.setprofile(trace)
    try:
        yield trace
    finally:
        threading.setprofile(None)


def way_of_a_request() -> str:
    """The section of the document."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    return text.partition("## The way of a request\n")[2].partition("\n## ")[0]


def test_the_table_names_the_files_that_a_prediction_passes(tmp_path: Path) -> None:
    section = way_of_a_request()
    steps = re.findall(r"^\| *\d+ \| `([^`]+)` \|", section, re.MULTILINE)
    with traced() as trace, serving(Settings(store=str(tmp_path / "store.db")), {"cats": make(2)}) as live:
        assert live.client.post("/v1/tasks/cats/predict", **raw()).is_success  # its weights become resident
        trace.on = True
        assert live.client.post("/v1/tasks/cats/predict", **raw()).is_success
        until(lambda: set(steps) <= trace.files)  # accounts and logs may be written after the answer
        trace.on = False
    named = tuple(f"/{name}" for name in re.findall(r"`([\w/]+\.py)`", section))
    assert len(steps) > 15
    assert not {file for file in trace.files - UNNAMED if not f"/{file}".endswith(named)}

"""Systems for the tests of the harness, built by real workers: right, wrong, noisy, missing, dying, hanging."""

import os
import sys
import threading
from importlib import import_module

import numpy as np

from benchmarks.engine.pipe import Call, Calls, Job

RIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)


def build(job: Job) -> Calls:
    """By the option `kind`."""
    kind = job.options.get("kind", "right")
    if kind == "missing":
        import_module("nothing_of_this_name_is_installed")
    if kind == "broken":
        raise ValueError("cannot be built")
    return Calls(_calls(float(kind == "wrong")), {"threads": os.environ["OMP_NUM_THREADS"]})


def _calls(error: float) -> dict[str, Call]:
    return {
        "features": lambda: RIGHT + error,
        "noisy": _noisy,
        "fail": lambda: 1 // 0,
        "die": lambda: os._exit(3),
        "hang": threading.Event().wait,
        "tell": lambda: {"seconds": [1.0]},
    }


def _noisy() -> np.ndarray:
    print("a library that prints")
    print("and complains", file=sys.stderr)
    return RIGHT

"""The child's side of the pipe: it builds its calls, makes one for each line it gets, and answers with the time.

Lines are JSON, both ways. Standard output belongs to the pipe alone: what libraries print goes to standard error.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO

import numpy as np

from benchmarks.engine.pipe import Call, Calls, Job, as_array

OURS = (
    "benchmarks",
    "backbone",
    "service",
    "adapters_store",
)  # our own packages: a missing module of these is an error
LIBRARIES = ("torch", "timm", "numpy", "onnxruntime", "onnx", "openvino", "transformers", "peft", "adapters")


def main() -> int:
    """Serve the pipe until it closes."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    calls = start(Job.from_json(sys.argv[1]), replies)
    if calls is None:
        return 1
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line), calls.calls)
        except Exception:
            reply = {"failed": traceback.format_exc(limit=-3)}
        print(json.dumps(reply), file=replies, flush=True)
    return 0


def start(job: Job, replies: IO[str]) -> Calls | None:
    """Build the calls and send their names, or the reason why there are none."""
    reply: dict[str, object]
    calls = None
    try:
        module, _, function = job.builder.partition(":")
        calls = getattr(import_module(module), function)(job)
        reply = {"calls": sorted(calls.calls), "facts": dict(calls.facts), "versions": versions()}
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        kind = "failed" if missing in OURS else "absent"
        reply = {kind: f"{missing} is not installed"}
    except Exception:
        reply = {"failed": traceback.format_exc(limit=-3)}
    print(json.dumps(reply), file=replies, flush=True)
    return calls


def answer(order: Mapping[str, str], calls: Mapping[str, Call]) -> dict[str, object]:
    """Carry out one order: `time` a call, write its `answer` to a file, or give its `facts` or the `memory`."""
    match order["do"]:
        case "time":
            return timed(calls[order["call"]], warm=int(order["warm"]))
        case "answer":
            np.save(order["file"], as_array(calls[order["call"]]()))
            return {}
        case "facts":
            return {"facts": calls[order["call"]]()}
        case "memory":
            return {"resident_bytes": memory("VmRSS"), "peak_bytes": memory("VmHWM")}
    raise ValueError(f"unknown order {order['do']!r}")


def timed(call: Call, *, warm: int) -> dict[str, object]:
    """Seconds on the wall and on this process's cores of one call, after `warm` untimed ones."""
    for _ in range(warm):
        call()
    start, cpu_start = time.perf_counter(), time.process_time()
    call()
    return {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu_start}


def memory(mark: str) -> int:
    """Bytes of this process, from the kernel's own count; 0 if there is none."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(mark)), 0)


def versions() -> dict[str, str]:
    """Versions of the libraries that this process has loaded."""
    found = {}
    for name in LIBRARIES:
        if name in sys.modules:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                found[name] = str(getattr(sys.modules[name], "__version__", "unknown"))
    return found


if __name__ == "__main__":
    sys.exit(main())

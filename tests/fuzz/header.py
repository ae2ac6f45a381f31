"""Coverage-guided fuzzing of the checks that an adapter file's bytes meet first: container, JSON, manifest, tensors.

    python -m venv /tmp/fuzz && /tmp/fuzz/bin/pip install atheris numpy
    PYTHONPATH=. /tmp/fuzz/bin/python -m tests.fuzz.header --runs 1000000 --json docs/results/fuzz.json

Any bytes are a task adapter or are refused with an error of `adapters_store`. Any other exception ends the run. atheris
gets an environment of its own, because nothing else needs it and it instruments its imports.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["adapters_store"]):
    from adapters_store.artifact import unpack
    from adapters_store.errors import AdaptersStoreError

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = sorted((ROOT / "adapters_store" / "bundled").glob("*.safetensors"))
_HEADER_BYTES = 8
_MOST_HEADER = 2**16  # a mutated header is mostly one of another length, so the field is written anew


class Counts:
    """Numbers of inputs by kind."""

    runs = 0
    accepted = 0
    refused = 0


def check(data: bytes) -> None:
    """One input: as it is, or, in two of three cases, as the header of a file whose length field fits."""
    Counts.runs += 1
    if data and data[0] % 3:
        header = data[1:_MOST_HEADER]
        data = struct.pack("<Q", len(header)) + header + bytes(data[0])
    try:
        unpack(data)
    except AdaptersStoreError:
        Counts.refused += 1
    else:
        Counts.accepted += 1


def mutated(data: bytes, max_size: int, seed: int) -> bytes:
    """libFuzzer's mutation, or one value of JSON in place of another: a header is text with a grammar."""
    dice = random.Random(seed)
    if dice.random() < 0.7:
        return bytes(atheris.Mutate(data, max_size))
    words = [b"0", b"-1", b"1e400", b"NaN", b"null", b'""', b"[]", b"{}", b'"F32"', b'"F16"', b"18446744073709551616"]
    at = dice.randrange(len(data) + 1)
    return (data[:at] + dice.choice(words) + data[at + dice.randrange(4) :])[:max_size]


def seeds(folder: Path) -> None:
    """The bundled files' headers, each as `check` takes it."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in BUNDLED:
        data = path.read_bytes()
        (length,) = struct.unpack("<Q", data[:_HEADER_BYTES])
        header = b"\x01" + data[_HEADER_BYTES : _HEADER_BYTES + length]
        (folder / hashlib.sha256(header).hexdigest()[:16]).write_bytes(header)


def written(path: Path, seconds: float) -> None:
    """The figures, with machine and commit."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    found: dict[str, Any] = {
        "benchmark": "fuzz",
        "commit": commit.stdout.strip(),
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "versions": {"atheris": version("atheris"), "python": platform.python_version()},
        "seconds": seconds,
        "runs": Counts.runs,
        "accepted": Counts.accepted,
        "refused": Counts.refused,
        "crashes": Counts.runs - Counts.accepted - Counts.refused,
    }
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{Counts.runs} inputs, {Counts.accepted} accepted, {found['crashes']} crashes, {seconds:.0f} s", flush=True)


def main(arguments: Sequence[str]) -> None:
    """Fuzz; libFuzzer ends the process, so the figures are written at the last run."""
    parser = argparse.ArgumentParser(prog="tests.fuzz.header", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--runs", type=int, default=1_000_000, help="inputs (default: 1,000,000)")
    parser.add_argument("--corpus", type=Path, default=Path("/tmp/mimi-fuzz"), help="folder of inputs that found more")
    options = parser.parse_args(arguments)
    seeds(options.corpus)
    start = time.monotonic()

    def once(data: bytes) -> None:
        check(data)
        if Counts.runs == options.runs:
            written(options.json, time.monotonic() - start)

    limits = [f"-runs={options.runs}", f"-max_len={_MOST_HEADER}", "-verbosity=0"]
    atheris.Setup([sys.argv[0], str(options.corpus), *limits], once, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])

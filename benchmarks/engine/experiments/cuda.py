"""The engine on CUDA against timm under `torch.compile` with max-autotune, where a device is at hand; else why not."""

import torch

from benchmarks.engine.bench import Bench, Found

KEYS = ("cuda_bare_vs_compiled", "cuda_mixed16_vs_compiled", "cuda_batch1_p50_ms", "cuda_batch1_p99_ms")


def measure(bench: Bench, found: Found) -> None:
    """No figure without a device, and none without an engine that computes on it."""
    found.reasons.update(dict.fromkeys(KEYS, absence()))


def absence() -> str:
    """What is missing here."""
    if not torch.cuda.is_available():
        return "no CUDA device at hand"
    return "the engine has no CUDA runtime yet"

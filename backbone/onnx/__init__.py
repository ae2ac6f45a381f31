"""Backbones as ONNX models: one whose adapters are inputs, for a server, and one of a single task, for the edge.

Needs the `onnx` package to write, and nothing to run: ONNX Runtime is no concern of this package.
"""

from backbone.onnx.models import (
    FEATURES,
    HEAD_BIAS,
    HEAD_WEIGHT,
    LOGITS,
    PIXELS,
    down_name,
    live_name,
    save,
    shared_model,
    task_model,
    up_name,
)

__all__ = [
    "FEATURES",
    "HEAD_BIAS",
    "HEAD_WEIGHT",
    "LOGITS",
    "PIXELS",
    "down_name",
    "live_name",
    "save",
    "shared_model",
    "task_model",
    "up_name",
]

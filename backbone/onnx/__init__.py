"""Writes backbones as ONNX models: a shared model with adapters as inputs, or a model of one task.

The shared model is for a server, the other for devices without this project. This package needs `onnx` and does not
run models; ONNX Runtime is used elsewhere.
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

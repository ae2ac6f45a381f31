"""The identity of a backbone: a hash of the values it computes with, whatever file they came from.

timm renames parameters between releases, so the names hashed are ours; values are hashed in float32, so the same
weights stored as float16 and loaded again keep their fingerprint. Stored statistics of batch norm are hashed too, since
they change the answer as a parameter does. Derived tensors (masks, summed biases) are not part of the state.
"""

import hashlib

import torch
from torch import nn


def fingerprint_of(module: nn.Module) -> str:
    """SHA-256 (hex) over names, shapes and little-endian float32 values of parameters and statistics, by name."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        values = value.detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name} {list(values.shape)}\n".encode())
        digest.update(values.numpy().astype("<f4", copy=False).tobytes())
    return digest.hexdigest()

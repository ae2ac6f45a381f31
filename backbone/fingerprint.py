"""What makes two backbones the same network: the values it computes with, whatever the file they came from.

timm renames parameters between releases, so the names hashed are ours; values are hashed in float32, so the same
weights stored as float16 and loaded again keep their fingerprint. Stored statistics of batch norm count as well: they
decide the answer as much as a parameter does. What is derived (masks, summed biases) is in no state and not hashed.
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

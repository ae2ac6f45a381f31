"""What makes two backbones the same network: their parameter values, whatever the file they came from.

timm renames parameters between releases, so the names hashed are ours; values are hashed in float32, so the same
weights stored as float16 and loaded again keep their fingerprint.
"""

import hashlib

import torch
from torch import nn


def fingerprint_of(module: nn.Module) -> str:
    """SHA-256 (hex) over names, shapes and little-endian float32 values of all parameters, sorted by name."""
    digest = hashlib.sha256()
    for name, parameter in sorted(module.named_parameters()):
        values = parameter.detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name} {list(values.shape)}\n".encode())
        digest.update(values.numpy().astype("<f4", copy=False).tobytes())
    return digest.hexdigest()

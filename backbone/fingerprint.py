"""The identity of a backbone: a hash of its values, independent of the file that they came from.

timm renames parameters between releases, so our own names are hashed. Values are hashed in float32, so weights that
were stored as float16 keep their fingerprint. The stored statistics of batch norm change the answers as parameters do,
so they are hashed too. Derived tensors (masks, summed biases) are not.
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

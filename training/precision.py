"""In which numbers the forward runs: bfloat16 autocast on CUDA, float32 on a CPU."""

import torch


def autocast(device: torch.device) -> torch.autocast:
    """The context of every forward pass of training and evaluation."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")

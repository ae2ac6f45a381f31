"""timm's own model over the shared weights."""

import timm
import torch
from safetensors.torch import load_file
from torch import nn

from benchmarks.engine.job import SWIN, VIT, VIT_WEIGHTS, WEIGHTS, Job


def load(job: Job) -> nn.Module:
    """Swin without a classifier, in evaluation mode, with this job's threads."""
    return _load(job, SWIN, WEIGHTS, job.sizes.swin)


def load_vit(job: Job) -> nn.Module:
    """The ViT, likewise."""
    return _load(job, VIT, VIT_WEIGHTS, {"depth": job.sizes.vit_depth})


def _load(job: Job, name: str, weights: str, size: dict[str, object]) -> nn.Module:
    torch.set_num_threads(job.threads)
    model: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, **size)
    model.load_state_dict(load_file(job.path(weights)))
    return model.eval()


def is_fused(model: nn.Module) -> bool:
    """Whether its attention uses PyTorch's fused product: what TIMM_FUSED_ATTN decides."""
    return any(getattr(part, "fused_attn", False) for part in model.modules())

"""timm, as `model(images)`."""

import torch

from benchmarks.engine.job import Calls, Job
from benchmarks.engine.peers.timm_network import is_fused, load


def build(job: Job) -> Calls:
    """`features`."""
    model, images = load(job), torch.from_numpy(job.images(job.number("batch")))

    @torch.inference_mode()
    def features() -> torch.Tensor:
        answer: torch.Tensor = model(images)
        return answer

    return Calls({"features": features}, {"fused_attention": is_fused(model)})

"""timm under `torch.compile`, with its defaults or in another mode."""

import time

import torch

from benchmarks.engine.job import Calls, Job
from benchmarks.engine.peers.timm_network import is_fused, load


def build(job: Job) -> Calls:
    """`features`; compiled before it is first timed."""
    model, images = load(job), torch.from_numpy(job.images(job.number("batch")))
    mode = job.options.get("mode")
    compiled = torch.compile(model, mode=mode if isinstance(mode, str) else None)

    @torch.inference_mode()
    def features() -> torch.Tensor:
        answer: torch.Tensor = compiled(images)
        return answer

    start = time.perf_counter()
    features()
    return Calls({"features": features}, {"fused_attention": is_fused(model), "compile_s": time.perf_counter() - start})

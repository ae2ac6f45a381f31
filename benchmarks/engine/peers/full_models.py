"""One full model for each task, as most servers keep them: every task's rows go through its own network."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.engine.job import HEADS, Calls, Job
from benchmarks.engine.peers.timm_network import load


def build(job: Job) -> Calls:
    """`mixed`: logits of the whole batch, row i for task i modulo their number."""
    images, heads = torch.from_numpy(job.images(job.number("batch"))), _heads(job.path(HEADS))
    models = [nn.Sequential(load(job), head).eval() for head in heads]

    @torch.inference_mode()
    def mixed() -> list[Tensor]:
        answers = [model(images[index :: len(models)]) for index, model in enumerate(models)]
        return [answers[row % len(models)][row // len(models)] for row in range(len(images))]

    return Calls({"mixed": mixed})


def _heads(path: Path) -> list[nn.Linear]:
    heads = []
    with np.load(path) as arrays:
        for weight, bias in zip(arrays["weight"], arrays["bias"], strict=True):
            head = nn.Linear(weight.shape[1], weight.shape[0])
            head.weight.data, head.bias.data = torch.from_numpy(weight), torch.from_numpy(bias)
            heads.append(head)
    return heads

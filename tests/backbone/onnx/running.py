"""Runs a model in ONNX Runtime, and the same task in PyTorch."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor
from torch.nn import functional

from backbone import Backbone, SiteWeights, adapt
from backbone.onnx import FEATURES, HEAD_BIAS, HEAD_WEIGHT, LOGITS, PIXELS, down_name, live_name, up_name

Feeds = Mapping[str, np.ndarray]


class Task(NamedTuple):
    """Adapters and head with random weights."""

    sites: dict[int, SiteWeights]
    head: tuple[Tensor, Tensor]


class Answer(NamedTuple):
    """Logits (B, K) and features (B, F)."""

    logits: np.ndarray
    features: np.ndarray


def make_task(network: Backbone, live: Iterable[int], *, classes: int = 5, width: int = 4, seed: int = 0) -> Task:
    """`width` + i neurons at the live site i, strong enough to change every answer."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return 0.1 * torch.randn(*shape, generator=generator)

    dims = {index: network.sites[index].dim for index in live}
    sites = {i: SiteWeights(draw(width + i, dim), draw(dim, width + i)) for i, dim in dims.items()}
    return Task(sites, (draw(classes, network.feature_dim), draw(classes)))


def images(network: Backbone, batch: int) -> Tensor:
    """Random images, normalised."""
    return torch.randn(batch, 3, *network.preprocessing.size, generator=torch.Generator().manual_seed(batch))


@torch.inference_mode()
def by_pytorch(network: Backbone, task: Task, pixels: Tensor) -> Answer:
    """The definition: the flat list's own loop."""
    features = network(pixels, lambda index, h: adapt(h, task.sites[index]) if index in task.sites else h)
    return Answer(functional.linear(features, *task.head).numpy(), features.numpy())


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session on one thread of the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, feeds: Feeds) -> Answer:
    """The outputs of a session."""
    return Answer(*session.run([LOGITS, FEATURES], dict(feeds)))


def feeds_of(network: Backbone, task: Task, pixels: Tensor, *, removed: float = 0.0) -> dict[str, np.ndarray]:
    """Every input of the shared model; matrices of removed sites are full of `removed`."""
    weight, bias = task.head
    feeds = {PIXELS: pixels.numpy(), HEAD_WEIGHT: weight.numpy(), HEAD_BIAS: bias.numpy()}
    for site in network.sites:
        filler = SiteWeights(torch.full((2, site.dim), removed), torch.full((site.dim, 2), removed))
        down, up = task.sites.get(site.index, filler)
        feeds[down_name(site.index)], feeds[up_name(site.index)] = down.numpy(), up.numpy()
        feeds[live_name(site.index)] = np.array(site.index in task.sites)
    return feeds


def close(ours: Answer, reference: Answer, tolerance: float = 1e-4) -> bool:
    """Both outputs within `tolerance`, relative to the largest value of the reference where that is above 1."""
    return all(
        a.shape == b.shape and float(np.abs(a - b).max()) <= tolerance * max(1.0, float(np.abs(b).max()))
        for a, b in zip(ours, reference, strict=True)
    )

"""ONNX Runtime as the engine's runtime: one session over one exported backbone, for all tasks.

Adapters and head are inputs of its graph. So a batch is one run for each task, at that task's exact widths, with
removed sites switched off. Rows of different tasks share no trunk here, and none is reported. Equal rows are computed
once. It needs the packages onnx, to make the graph, and onnxruntime, to compute it.
"""

from weakref import WeakKeyDictionary

import numpy as np
import onnxruntime
import torch
from onnxruntime import InferenceSession, OrtValue, SessionOptions
from torch import Tensor

from backbone import Backbone
from backbone.onnx import FEATURES, HEAD_BIAS, HEAD_WEIGHT, LOGITS, PIXELS, down_name, live_name, shared_model, up_name
from service.engine.planning import Plan
from service.engine.runtime import HostMemory
from service.engine.weights import Resident

Feeds = dict[str, OrtValue]

_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class OnnxRuntime(HostMemory):
    """ONNX Runtime over one resident session.

    Attributes:
        shares_trunk: false, as every distinct pair of task and image is a whole forward pass.
        precision: "fp32" or "int8".
    """

    shares_trunk = False

    def __init__(self, backbone: Backbone, *, cuda: bool = False, int8: bool = False) -> None:
        """Export the backbone and load it, on as many threads as PyTorch computes with.

        Args:
            backbone: float32, on the CPU.
            cuda: compute there; `has_cuda` says whether ONNX Runtime can.
            int8: compute the backbone's products with its weights in int8, on the CPU. Activations are scaled for all
                rows of a task in a batch together, so the last digits of a row depend on its batch.

        Raises:
            UnsupportedBackbone: a part of it is not known as ONNX operators.
        """
        self.precision = "int8" if int8 else "fp32"
        self._sites = range(len(backbone.sites))
        self._removed = {site.index: _removed(site.index, site.dim) for site in backbone.sites}
        self._feeds: WeakKeyDictionary[Resident, Feeds] = WeakKeyDictionary()  # views of the residents' own memory
        options = SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        model = shared_model(backbone, int8=int8).SerializeToString()
        self._session = InferenceSession(model, options, providers=[_CUDA, _CPU] if cuda else [_CPU])

    def forward(self, images: Tensor, plan: Plan) -> list[tuple[Tensor, Tensor]]:
        """As `Runtime.forward`."""
        pixels, entered = images.numpy(), origins(plan)
        return [self._answer(resident, pixels[entered[rows]]) for resident, rows in plan.groups]

    def _answer(self, resident: Resident, pixels: np.ndarray) -> tuple[Tensor, Tensor]:
        feeds = {PIXELS: OrtValue.ortvalue_from_numpy(pixels), **self._inputs(resident)}
        logits, features = self._session.run_with_ort_values([LOGITS, FEATURES], feeds)
        return torch.from_numpy(logits.numpy()), torch.from_numpy(features.numpy())

    def _inputs(self, resident: Resident) -> Feeds:
        """Adapters, flags and head of a task; made once for each, and freed with it."""
        if resident not in self._feeds:
            self._feeds[resident] = self._wrap(resident)
        return self._feeds[resident]

    def _wrap(self, resident: Resident) -> Feeds:
        weight, bias = resident.head
        feeds = {HEAD_WEIGHT: _value(weight.numpy()), HEAD_BIAS: _value(bias.numpy())}
        for index in self._sites:
            live = resident.sites.get(index)
            feeds |= self._removed[index] if live is None else _site(index, live.down.numpy(), live.up.numpy(), True)
        return feeds


def has_cuda() -> bool:
    """Whether the installed ONNX Runtime was built for CUDA. PyTorch knows whether there is a device."""
    return _CUDA in onnxruntime.get_available_providers()


def origins(plan: Plan) -> np.ndarray:
    """For each row, in the order of the plan's groups, the number of its image in the plan."""
    places: np.ndarray = np.arange(len(plan.images))
    for _, fork in sorted(plan.forks.items()):
        places = places[fork]
    return places


def _removed(index: int, dim: int) -> Feeds:
    return _site(index, np.empty((0, dim), np.float32), np.empty((dim, 0), np.float32), False)


def _site(index: int, down: np.ndarray, up: np.ndarray, live: bool) -> Feeds:
    return {down_name(index): _value(down), up_name(index): _value(up), live_name(index): _value(np.array(live))}


def _value(array: np.ndarray) -> OrtValue:
    return OrtValue.ortvalue_from_numpy(array)

"""A task's model in float32, in int8 as this project writes it, and as ONNX Runtime's own quantiser does."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxruntime import InferenceSession, SessionOptions
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static

from adapters_store import TaskAdapter
from backbone import Backbone, SiteWeights
from backbone.onnx import PIXELS, task_model

PLAIN, VARIANTS = "fp32", ("int8", "dynamic-8bit", "static-7bit")
BATCH = 8
PRODUCT = "Gemm"  # how the export writes a product with the backbone's weights, and the head's behind them

Sessions = Mapping[str, InferenceSession]


class Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Training images, a batch at a time, as the tool asks for them."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._batches = iter([{PIXELS: pixels[start : start + BATCH]} for start in range(0, len(pixels), BATCH)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch; None at the end."""
        return next(self._batches, None)


def export(backbone: Backbone, adapter: TaskAdapter, *, int8: bool) -> onnx.ModelProto:
    """The task as one model, as `mimi export` makes it."""
    sites = {index: SiteWeights(_tensor(site.down), _tensor(site.up)) for index, site in adapter.sites.items()}
    return task_model(backbone, sites, (_tensor(adapter.head_weight), _tensor(adapter.head_bias)), {}, int8=int8)


def variants_of(backbone: Backbone, adapter: TaskAdapter, images: np.ndarray, folder: Path) -> dict[str, Path]:
    """The task in float32 and in every int8 variant, as files; `images` are to calibrate with."""
    files = {name: folder / f"{name}.onnx" for name in (PLAIN, *VARIANTS)}
    plain = export(backbone, adapter, int8=False)
    onnx.save(plain, files[PLAIN])
    onnx.save(export(backbone, adapter, int8=True), files["int8"])
    common = {"nodes_to_exclude": _kept(plain), "per_channel": True, "weight_type": QuantType.QInt8}
    # The tool writes a Gemm as a MatMul and a sum, and passes by what has no constant factor: attention.
    quantize_dynamic(files[PLAIN], files["dynamic-8bit"], op_types_to_quantize=[PRODUCT, "MatMul"], **common)
    common |= {"op_types_to_quantize": [PRODUCT], "reduce_range": True}
    quantize_static(files[PLAIN], files["static-7bit"], Calibration(images), **common)
    return files


def _kept(model: onnx.ModelProto) -> list[str]:
    """Names of the products that stay in float32: those of the adapters, and the head's."""
    constants = {each.name for each in model.graph.initializer}
    adapters = [node.name for node in model.graph.node if node.op_type == "MatMul" and constants & set(node.input)]
    head = [node.name for node in model.graph.node if node.op_type == PRODUCT][-1]
    return [*adapters, head, f"{head}_MatMul"]  # as the tool names it anew


def load(files: Mapping[str, Path], threads: int) -> Sessions:
    """A session on the processor for each file."""
    options = SessionOptions()
    options.intra_op_num_threads = threads
    return {name: InferenceSession(path, options, providers=["CPUExecutionProvider"]) for name, path in files.items()}


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float32))

"""ONNX Runtime over a plain `torch.onnx.export` of timm's model."""

import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from timm.layers import set_fused_attn

from benchmarks.engine.job import Calls, Job
from benchmarks.engine.peers.timm_network import is_fused, load


def build(job: Job) -> Calls:
    """`features`."""
    set_fused_attn(enable=False)  # the fused product cannot be exported, and would mean nothing in a graph
    model, images = load(job), job.images(job.number("batch"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.threads
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "model.onnx")
        torch.onnx.export(model, (torch.from_numpy(images),), file, input_names=["images"], dynamo=True)
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def features() -> np.ndarray:
        answer: np.ndarray = session.run(None, {"images": images})[0]
        return answer

    return Calls({"features": features}, {"fused_attention": is_fused(model)})

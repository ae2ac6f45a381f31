"""OpenVINO's CPU plugin over timm's model, in float32."""

import numpy as np
import openvino
import torch

from benchmarks.engine.job import Calls, Job
from benchmarks.engine.peers.timm_network import is_fused, load


def build(job: Job) -> Calls:
    """`features`."""
    model, images = load(job), job.images(job.number("batch"))
    converted = openvino.convert_model(model, example_input=torch.from_numpy(images), input=[list(images.shape)])
    settings = {"INFERENCE_NUM_THREADS": job.threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(converted, "CPU", settings)
    request = compiled.create_infer_request()

    def features() -> np.ndarray:
        request.infer({0: images}, share_inputs=True)
        answer: np.ndarray = request.get_output_tensor(0).data
        return answer

    used = compiled.get_property("INFERENCE_NUM_THREADS")
    return Calls({"features": features}, {"fused_attention": is_fused(model), "threads": int(used)})

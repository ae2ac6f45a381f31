"""timm's own model over the shared weights, as users run it: eager, compiled, exported, and one model for each task."""

import tempfile
import time
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.torch import load_file
from timm.layers import set_fused_attn
from torch import Tensor, nn

from benchmarks.engine.pipe import HEADS, NANO_WEIGHTS, SWIN, VIT, VIT_WEIGHTS, WEIGHTS, Calls, Job, repeated


def load(job: Job) -> nn.Module:
    """Swin without a classifier, in evaluation mode, with this job's threads."""
    return _load(job, SWIN, *((NANO_WEIGHTS, job.sizes.nano) if job.nano else (WEIGHTS, job.sizes.swin)))


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


def build_eager(job: Job) -> Calls:
    """`features`, as `model(images)`, in bf16 under autocast; `repeated` is timed where a call has several passes."""
    model, images = load(job), torch.from_numpy(job.images(job.number("batch")))
    lowers = job.text("precision", "fp32") == "bf16"

    @torch.inference_mode()
    def features() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=lowers):
            answer: torch.Tensor = model(images)
        return answer

    calls = {"features": features, "repeated": repeated(features, job.passes)}
    return Calls(calls, {"fused_attention": is_fused(model)})


def build_compiled(job: Job) -> Calls:
    """`features` under `torch.compile`; compiled before it is first timed."""
    model, images = load(job), torch.from_numpy(job.images(job.number("batch")))
    compiled = torch.compile(model)

    @torch.inference_mode()
    def features() -> torch.Tensor:
        answer: torch.Tensor = compiled(images)
        return answer

    start = time.perf_counter()
    features()
    return Calls({"features": features}, {"fused_attention": is_fused(model), "compile_s": time.perf_counter() - start})


def build_cuda(job: Job) -> Calls:
    """`features` on CUDA in bfloat16 under `torch.compile`, from images on the host to features on the host."""
    device = torch.device("cuda")
    model, images = load(job).to(device, torch.bfloat16), torch.from_numpy(job.images(job.number("batch")))
    compiled = torch.compile(model, mode=job.text("mode", "default"))

    @torch.inference_mode()
    def features() -> torch.Tensor:
        sent = images.pin_memory().to(device, non_blocking=True).to(torch.bfloat16)
        answer: torch.Tensor = compiled(sent).float().cpu()
        return answer

    start = time.perf_counter()
    features()
    return Calls({"features": features}, {"fused_attention": is_fused(model), "compile_s": time.perf_counter() - start})


def build_onnxruntime(job: Job) -> Calls:
    """`features`: ONNX Runtime over a plain `torch.onnx.export`."""
    import onnxruntime  # noqa: PLC0415 - may not be installed

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


def build_openvino(job: Job) -> Calls:
    """`features`: OpenVINO's CPU plugin; `repeated` likewise."""
    import openvino  # noqa: PLC0415 - may not be installed

    model, images = load(job), job.images(job.number("batch"))
    converted = openvino.convert_model(model, example_input=torch.from_numpy(images), input=[list(images.shape)])
    hint = {"fp32": "f32", "bf16": "bf16"}[job.text("precision", "fp32")]
    settings = {"INFERENCE_NUM_THREADS": job.threads, "INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(converted, "CPU", settings)
    request = compiled.create_infer_request()

    def features() -> np.ndarray:
        request.infer({0: images}, share_inputs=True)
        answer: np.ndarray = request.get_output_tensor(0).data
        return answer

    used = compiled.get_property("INFERENCE_NUM_THREADS")
    calls = {"features": features, "repeated": repeated(features, job.passes)}
    return Calls(calls, {"fused_attention": is_fused(model), "threads": int(used)})


def build_full_models(job: Job) -> Calls:
    """`mixed`: logits of the whole batch, row i for task i modulo their number; one network a task."""
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

"""The engine that the settings choose: by which library, on which device, in which precision, with which kernels."""

from typing import Final

import torch

from backbone import Backbone
from backbone.kernels import default_folder, multiplies_bf16
from service.engine import Engine
from service.engine.padded import PaddedRuntime
from service.engine.runtime import Runtime, TorchRuntime
from service.errors import SettingsError
from service.kernels import Kernels
from service.settings import Settings

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def make_engine(settings: Settings, backbone: Backbone) -> tuple[Engine, Kernels | None]:
    """An engine over `backbone`, and what looks after its kernels where it has such.

    Raises:
        SettingsError: the chosen library or device is not there, or does not know the chosen precision.
    """
    if settings.engine == "onnx":
        return Engine(backbone, _onnx(settings, backbone), budget=settings.device_bytes), None
    if settings.precision == "int8":
        raise SettingsError("precision: int8 needs engine onnx")
    if _device(settings) == "cuda":
        dtype = _DTYPES["bf16" if settings.precision == "auto" else settings.precision]
        cuda = PaddedRuntime(backbone, device=torch.device("cuda"), dtype=dtype, budget=settings.device_bytes)
        return Engine(backbone, cuda, budget=settings.host_bytes), None
    if settings.precision not in ("auto", "fp32", "bf16"):
        raise SettingsError(f"precision: the CPU computes in fp32 or bf16, not in {settings.precision}")
    if settings.precision == "bf16" and settings.kernels == "off":
        raise SettingsError("precision: bf16 on the CPU is computed by kernels, which are off")
    if settings.precision == "bf16" and not multiplies_bf16():
        raise SettingsError("precision: this processor does not multiply bf16 (it has no AVX-512 BF16)")
    runtime = TorchRuntime(backbone)
    return Engine(backbone, runtime, budget=settings.device_bytes), _kernels(settings, backbone, runtime)


def _onnx(settings: Settings, backbone: Backbone) -> Runtime:
    """ONNX Runtime, on CUDA where both libraries find it, unless it is to compute in int8."""
    try:
        from service.engine.onnx_runtime import OnnxRuntime, has_cuda  # noqa: PLC0415 - for those who ask for it
    except ImportError as error:
        raise SettingsError(f"engine: onnx needs a package that is not installed ({error.name})") from None
    if settings.precision not in ("auto", "fp32", "int8"):
        raise SettingsError(f"precision: engine onnx computes in fp32 or int8, not in {settings.precision}")
    int8, cuda = settings.precision == "int8", _device(settings) == "cuda"
    if settings.device == "cuda" and int8:
        raise SettingsError("device: int8 is computed on the CPU")
    if settings.device == "cuda" and not has_cuda():
        raise SettingsError("device: ONNX Runtime is installed without CUDA")
    return OnnxRuntime(backbone, cuda=cuda and has_cuda() and not int8, int8=int8)


def _device(settings: Settings) -> str:
    available = torch.cuda.is_available()
    if settings.device == "cuda" and not available:
        raise SettingsError("device: PyTorch finds no CUDA device here")
    return "cuda" if available and settings.device != "cpu" else "cpu"


def _kernels(settings: Settings, backbone: Backbone, runtime: TorchRuntime) -> Kernels | None:
    if settings.kernels == "off":
        return None
    folder = settings.kernels_folder or default_folder()
    bf16 = settings.precision == "bf16"
    kernels = Kernels(backbone, folder, runtime.use, compiles=settings.kernels == "compiled", bf16=bf16)
    kernels.load()
    return kernels

"""The engine that the settings choose: on which device, in which precision, with compiled sub-layers or without."""

from typing import Final

import torch

from backbone import Backbone
from backbone.compiled import default_folder
from service.compiling import Compiling
from service.engine import Engine
from service.engine.padded import PaddedRuntime
from service.engine.residency import Budgets
from service.engine.runtime import TorchRuntime
from service.errors import SettingsError
from service.settings import Settings

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def make_engine(settings: Settings, backbone: Backbone) -> tuple[Engine, Compiling | None]:
    """An engine over `backbone`, and what looks after its compiled sub-layers where it has such.

    Raises:
        SettingsError: the chosen device is not there, or does not know the chosen precision.
    """
    budgets = Budgets(device=settings.device_bytes, host=settings.host_bytes)
    if _device(settings) == "cuda":
        dtype = _DTYPES["bf16" if settings.precision == "auto" else settings.precision]
        return Engine(
            backbone, PaddedRuntime(backbone, device=torch.device("cuda"), dtype=dtype), budgets=budgets
        ), None
    if settings.precision not in ("auto", "fp32"):
        raise SettingsError(f"precision: the CPU computes in fp32, not in {settings.precision}")
    runtime = TorchRuntime(backbone)
    return Engine(backbone, runtime, budgets=budgets), _compiling(settings, backbone, runtime)


def _device(settings: Settings) -> str:
    available = torch.cuda.is_available()
    if settings.device == "cuda" and not available:
        raise SettingsError("device: PyTorch finds no CUDA device here")
    return "cuda" if available and settings.device != "cpu" else "cpu"


def _compiling(settings: Settings, backbone: Backbone, runtime: TorchRuntime) -> Compiling | None:
    if settings.compiled == "off":
        return None
    compiling = Compiling(
        backbone,
        settings.compiled_folder or default_folder(),
        runtime.use,
        background=settings.compiled == "background",
    )
    compiling.load()
    return compiling

"""Makes the engine that the settings choose: its library, device, precision and kernels.

The kernels' compiler runs at the lowest priority beside the server, and the library comes into use between two
batches. If anything fails, the network's own modules go on answering.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch

from backbone import Backbone
from backbone.backend import Backend
from backbone.kernels import best, default_folder, multiplies_bf16, path_in
from service.engine import Engine
from service.engine.padded import PaddedRuntime
from service.engine.runtime import Runtime, TorchRuntime
from service.errors import SettingsError
from service.settings import Settings

_log = logging.getLogger(__name__)


class Kernels:
    """Loads the kernels of one backbone, and compiles them if they are missing."""

    def __init__(
        self,
        backbone: Backbone,
        folder: Path,
        use: Callable[[Backend], None],
        *,
        compiles: bool,
        bf16: bool = False,
    ) -> None:
        """Do nothing before `load` or `start`.

        Args:
            backbone: what is served.
            folder: where libraries lie.
            use: is called with the new kernel backend, from any thread.
            compiles: whether `start` has a missing library made.
            bf16: whether products with the backbone's weights are computed in bfloat16.
        """
        self._backbone, self._folder, self._use, self._compiles, self._bf16 = backbone, folder, use, compiles, bf16
        self._thread = threading.Thread(target=self._make, name="mimi-kernels")

    def load(self) -> int:
        """Use what the folder holds for this processor; returns how many sub-layers it computes."""
        return self._take(compiles=False)

    def start(self) -> None:
        """Have a missing library made, and use it once it is there."""
        if self._compiles and not path_in(self._folder).is_file():
            self._thread.start()

    def close(self) -> None:
        """Wait for the compiler that `start` began: one or two seconds."""
        if self._thread.ident is not None:
            self._thread.join()

    def _make(self) -> None:
        self._take(compiles=True)

    def _take(self, *, compiles: bool) -> int:
        found = best(self._backbone, self._folder, compiles=compiles, bf16=self._bf16)
        if found.compiled:
            self._use(found)
        _log.info("%d of %d sub-layers are computed by compiled kernels", found.compiled, len(self._backbone.sites))
        return found.compiled


_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def make_engine(settings: Settings, backbone: Backbone) -> tuple[Engine, Kernels | None]:
    """An engine over `backbone`, and its `Kernels` if it uses any.

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

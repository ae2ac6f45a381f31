"""Makes the engine that the settings choose: its library, device, precision and kernels.

The kernels' compiler runs at the lowest priority beside the server, and the library comes into use between two
batches. If anything fails, the network's own modules go on answering.
"""

import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Literal

import torch

from adapters_store import unpack
from adapters_store.bundled import bundled_tasks
from backbone import Backbone
from backbone.backend import Backend
from backbone.kernels import KernelError, Precision, best, default_folder, kept, measure, multiplies, path_in
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
        precision: "Precision | Literal['auto']" = "fp32",
    ) -> None:
        """Do nothing before `load` or `start`.

        Args:
            backbone: what is served.
            folder: where libraries lie.
            use: is called with the new kernel backend, from any thread.
            compiles: whether `start` has a missing library made.
            precision: of products with the backbone's weights; auto: bf16 where it was measured to be faster, and
                leaves the answers of the bundled tasks near their golden ones. Until that is known: fp32.
        """
        self._backbone, self._folder, self._use, self._compiles = backbone, folder, use, compiles
        self._precision = precision
        self._thread = threading.Thread(target=self._make, name="mimi-kernels")

    def load(self) -> int:
        """Use what the folder holds for this processor; returns how many sub-layers it computes."""
        return self._take(compiles=False)

    def start(self) -> None:
        """Have a missing library made, and a precision chosen that is not; use them once they are there."""
        missing = not path_in(self._folder).is_file()
        unknown = self._precision == "auto" and kept(self._backbone, self._folder) is None
        if (self._compiles and missing) or (unknown and not missing):
            self._thread.start()

    def close(self) -> None:
        """Wait for the compiler that `start` began: one or two seconds."""
        if self._thread.ident is not None:
            self._thread.join()

    def _make(self) -> None:
        self._take(compiles=self._compiles)
        if self._precision != "auto":
            return
        try:
            found = measure(self._backbone, self._folder, accepts=partial(keeps_answers, self._backbone))
        except KernelError as error:
            _log.warning("precision: fp32, because it cannot be measured: %s", error)
            return
        _log.info("precision: %s, because %s", found.precision, found.reason)
        if found.precision != "fp32":
            self._take(compiles=False)

    def _take(self, *, compiles: bool) -> int:
        found = best(self._backbone, self._folder, compiles=compiles, precision=self._chosen())
        if found.compiled:
            self._use(found)
        _log.info("%d of %d sub-layers are computed by compiled kernels", found.compiled, len(self._backbone.sites))
        return found.compiled

    def _chosen(self) -> Precision:
        if self._precision != "auto":
            return self._precision
        before = kept(self._backbone, self._folder)
        return "fp32" if before is None else before.precision


def keeps_answers(backbone: Backbone, backend: Backend) -> bool:
    """Whether a backend's answers to the golden images of all bundled tasks are near the golden ones.

    `service.engine.weights.moved` says what is near. For another backbone than theirs nothing is known, and it is true.
    """
    runtime = TorchRuntime(backbone)
    runtime.use(backend)
    engine = Engine(backbone, runtime)
    for task, data in bundled_tasks().items():
        adapter = unpack(data)
        if adapter.manifest.backbone.fingerprint != backbone.fingerprint:
            continue
        if why := engine.moved(adapter, engine.weights_of(adapter, task)):
            _log.info("precision: in %s, of %s, %s", backend.precision, task, why)
            return False
    return True


_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


_INSTRUCTIONS: Final = {"bf16": "AVX-512 BF16", "int8": "AVX-512 VNNI"}


def make_engine(settings: Settings, backbone: Backbone) -> tuple[Engine, Kernels | None]:
    """An engine over `backbone`, and its `Kernels` if it uses any.

    Raises:
        SettingsError: the chosen library or device is not there, or does not know the chosen precision.
    """
    if settings.engine == "onnx":
        return Engine(backbone, _onnx(settings, backbone), budget=settings.device_bytes), None
    if _device(settings) == "cuda":
        if settings.precision == "int8":
            raise SettingsError("precision: int8 is computed on the CPU")
        dtype = _DTYPES["bf16" if settings.precision == "auto" else settings.precision]
        cuda = PaddedRuntime(backbone, device=torch.device("cuda"), dtype=dtype, budget=settings.device_bytes)
        return Engine(backbone, cuda, budget=settings.host_bytes), None
    _check_cpu(settings)
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


def _check_cpu(settings: Settings) -> None:
    """Refuse what the CPU does not compute.

    Raises:
        SettingsError: it does not know the precision.
    """
    precision = settings.precision
    if precision == "fp16":
        raise SettingsError("precision: the CPU computes in fp32, bf16 or int8, not in fp16")
    if precision in ("bf16", "int8") and settings.kernels == "off":
        raise SettingsError(f"precision: {precision} on the CPU is computed by kernels, which are off")
    if precision in ("bf16", "int8") and not multiplies(precision):
        raise SettingsError(f"precision: this processor does not multiply {precision} (no {_INSTRUCTIONS[precision]})")


def _kernels(settings: Settings, backbone: Backbone, runtime: TorchRuntime) -> Kernels | None:
    if settings.kernels == "off":
        return None
    folder = settings.kernels_folder or default_folder()
    if settings.precision == "fp16":  # refused before; the kernels know no such numbers
        return None
    compiles = settings.kernels == "compiled"
    kernels = Kernels(backbone, folder, runtime.use, compiles=compiles, precision=settings.precision)
    kernels.load()
    return kernels

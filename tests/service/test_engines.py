"""The engine that the settings choose, or a refusal that names the setting."""

import sys
from typing import Any, Literal

import pytest
import torch

from service.engine import Engine
from service.engine.onnx_runtime import OnnxRuntime
from service.engine.runtime import TorchRuntime
from service.engines import make_engine
from service.errors import SettingsError
from service.settings import Settings
from tests.service.adapters import bundled_backbone


def chosen(**settings: Any) -> Engine:  # noqa: ANN401 - whatever a setting takes
    return make_engine(Settings(kernels="off", **settings), bundled_backbone())[0]


def test_pytorch_computes_unless_onnx_runtime_is_asked_for() -> None:
    assert isinstance(chosen(device="cpu")._runtime, TorchRuntime)
    assert isinstance(chosen(device="cpu", engine="onnx")._runtime, OnnxRuntime)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"precision": "int8", "device": "cpu"}, "int8 on the CPU is computed by kernels, which are off"),
        ({"precision": "bf16", "engine": "onnx"}, "onnx computes in fp32 or int8, not in bf16"),
        ({"precision": "fp16", "device": "cpu"}, "the CPU computes in fp32, bf16 or int8, not in fp16"),
        ({"precision": "bf16", "device": "cpu"}, "bf16 on the CPU is computed by kernels, which are off"),
    ],
)
def test_a_precision_that_the_engine_does_not_know_is_refused(settings: dict[str, str], reason: str) -> None:
    with pytest.raises(SettingsError, match=f"precision: .*{reason}"):
        chosen(**settings)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_what_a_processor_does_not_multiply_is_refused(
    precision: Literal["bf16", "int8"], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_vnni_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    with pytest.raises(SettingsError, match=f"precision: this processor does not multiply {precision}"):
        make_engine(Settings(device="cpu", precision=precision), bundled_backbone())


def test_a_device_that_the_engine_cannot_use_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SettingsError, match="device: PyTorch finds no CUDA device"):
        chosen(engine="onnx", device="cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(SettingsError, match="device: ONNX Runtime is installed without CUDA"):
        chosen(engine="onnx", device="cuda")
    with pytest.raises(SettingsError, match="device: int8 is computed on the CPU"):
        chosen(engine="onnx", device="cuda", precision="int8")
    assert isinstance(chosen(engine="onnx")._runtime, OnnxRuntime)  # auto: on the CPU


def test_an_engine_that_is_not_installed_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    for name in [name for name in sys.modules if name.startswith(("backbone.onnx", "service.engine.onnx"))]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SettingsError, match=r"engine: onnx needs a package that is not installed \(onnx\)"):
        chosen(engine="onnx")

"""Who is measured beside us, and in which two settings: as they come, and with the allocator and attention tuned."""

from dataclasses import dataclass, field
from types import MappingProxyType

_KEEP = str(2**30)  # bytes; larger than any activation: nothing is given back to the system between batches
TUNED = MappingProxyType(
    {"MALLOC_MMAP_THRESHOLD_": _KEEP, "MALLOC_TRIM_THRESHOLD_": _KEEP, "TIMM_FUSED_ATTN": "2"},
)
SETTINGS: "MappingProxyType[str, MappingProxyType[str, str]]" = MappingProxyType(
    {"default": MappingProxyType({}), "tuned": TUNED},
)


@dataclass(frozen=True, slots=True)
class Peer:
    """A contestant that is not ours: the module that builds it, and options of its own."""

    module: str
    options: dict[str, object] = field(default_factory=dict)


_PEERS = "benchmarks.engine.peers"
PEERS = {
    "timm_eager": Peer(f"{_PEERS}.timm_eager"),
    "timm_compiled": Peer(f"{_PEERS}.timm_compiled"),
    "onnxruntime": Peer(f"{_PEERS}.onnx_runtime"),
    "openvino": Peer(f"{_PEERS}.open_vino"),
    "peft": Peer(f"{_PEERS}.peft_lora"),
    "adapterhub": Peer(f"{_PEERS}.adapterhub"),
    "full_models": Peer(f"{_PEERS}.full_models"),
}
BARE = ("timm_eager", "timm_compiled", "onnxruntime", "openvino")  # those that run the bare network, and nothing more

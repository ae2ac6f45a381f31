"""Builds and saves whole models: the shared one has adapters and head as inputs, that of a task has them as constants.

Both run the loop of `Backbone.forward` over its sub-layers. They differ only in what they add at a site.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import onnx
from torch import Tensor

from backbone.adapter import SiteWeights
from backbone.network import Backbone, SubLayer
from backbone.onnx import cvt, swin, vit  # noqa: F401 - each registers its modules with `emit`
from backbone.onnx.builder import Graph
from backbone.onnx.layers import Value, emit

ONE_FILE_BYTES = 2**31 - 2**20  # a protocol buffer has at most 2 GiB; 1 MiB is left for nodes and names
PIXELS, LOGITS, FEATURES = "pixels", "logits", "features"
HEAD_WEIGHT, HEAD_BIAS = "head.weight", "head.bias"

Add = Callable[[Graph, SubLayer, str, str], str]  # x + adapted h, from the names of x and h


def down_name(site: int) -> str:
    """Input with a site's (N, M) matrix, named as in a task adapter file."""
    return f"sites.{site}.down"


def up_name(site: int) -> str:
    """Input with a site's (M, N) matrix."""
    return f"sites.{site}.up"


def live_name(site: int) -> str:
    """Input with a site's flag, a scalar bool. False means a removed site: nothing of the adapter is computed."""
    return f"sites.{site}.live"


def shared_model(backbone: Backbone, *, int8: bool = False) -> onnx.ModelProto:
    """The backbone with adapters and head as inputs: one model for every task, of any widths.

    Inputs:

    - `pixels` (B, 3, H, W), normalised;
    - for each site `down` (N, M), `up` (M, N) and the flag `live`; if the flag is false, the matrices may be empty;
    - `head.weight` (K, F) and `head.bias` (K).

    Outputs are `logits` (B, K) and `features` (B, F). Each run may choose B, K and each N. With `int8` the products
    with the backbone's weights are computed in int8. Adapters, head, attention and norms stay in float32.

    Raises:
        UnsupportedBackbone: a module has no ONNX operators here.
    """
    graph = Graph(int8=int8)
    features = _network(graph, backbone, _adapted_if_live)
    weight = graph.input(HEAD_WEIGHT, ["classes", backbone.feature_dim])
    _finish(graph, backbone, features, (weight, graph.input(HEAD_BIAS, ["classes"])), classes="classes")
    return graph.model(backbone.name, _about(backbone, int8))


def task_model(
    backbone: Backbone,
    sites: Mapping[int, SiteWeights],
    head: tuple[Tensor, Tensor],
    metadata: Mapping[str, object],
    *,
    int8: bool = False,
) -> onnx.ModelProto:
    """The model of one task. Its adapters and head are constants; a removed site adds no node.

    Args:
        backbone: the frozen network.
        sites: adapters of the live sites, float32: `down` (N, M), `up` (M, N).
        head: weight (K, F) and bias (K), float32.
        metadata: is added to the model's metadata about backbone and preprocessing; each value is written as JSON.
        int8: as for `shared_model`.

    Raises:
        UnsupportedBackbone: a module has no ONNX operators here.
    """

    def add(graph: Graph, site: SubLayer, x: str, h: str) -> str:
        if site.index in sites:
            down, up = sites[site.index]
            h = _adapt(graph, h, graph.weight(down.t()), graph.weight(up.t()))
        return graph.op("Add", [x, h])

    graph = Graph(int8=int8)
    features = _network(graph, backbone, add)
    _finish(graph, backbone, features, (graph.weight(head[0]), graph.weight(head[1])), classes=len(head[0]))
    return graph.model(backbone.name, _about(backbone, int8) | _as_json(metadata))


def _network(graph: Graph, backbone: Backbone, add: Add) -> str:
    """Features (B, F) of the input `pixels`."""
    size = backbone.preprocessing.size
    x = emit(backbone.stem, graph, Value(graph.input(PIXELS, ["batch", 3, *size]), size, 3))
    for site in backbone.sites:
        x = emit(site.enter, graph, x)
        h = emit(site.branch, graph, x)
        x = x._replace(name=add(graph, site, x.name, h.name))
    return emit(backbone.tail, graph, x).name


def _adapted_if_live(graph: Graph, site: SubLayer, x: str, h: str) -> str:
    """x + adapted h where the site's flag is set, else x + h."""
    width = f"width.{site.index}"
    down, up = (
        graph.input(down_name(site.index), [width, site.dim]),
        graph.input(up_name(site.index), [site.dim, width]),
    )
    # Both branches contain the residual sum: a branch that returned h unchanged would copy it.
    live, removed = Graph(graph), Graph(graph)
    matrices = (live.op("Transpose", [matrix], {"perm": [1, 0]}) for matrix in (down, up))
    live.result(live.op("Add", [x, _adapt(live, h, *matrices)]))
    removed.result(removed.op("Add", [x, h]))
    return graph.choose(graph.input(live_name(site.index), [], dtype="bool"), live, removed)


def _adapt(graph: Graph, h: str, down: str, up: str) -> str:
    """MiMi's equation 1 on h (B, L, M). `down` (M, N) and `up` (N, M) are already transposed."""
    hidden = graph.op("Gelu", [graph.op("MatMul", [h, down])])
    return graph.op("Add", [h, graph.op("MatMul", [hidden, up])])


def _finish(graph: Graph, backbone: Backbone, features: str, head: tuple[str, str], *, classes: int | str) -> None:
    """Add the head and declare both outputs."""
    logits = graph.op("Gemm", [features, *head], {"transB": 1})
    graph.output(LOGITS, logits, ["batch", classes])
    graph.output(FEATURES, features, ["batch", backbone.feature_dim])


def _about(backbone: Backbone, int8: bool) -> dict[str, str]:
    """Metadata of a model: its backbone, preprocessing and precision, each as JSON."""
    network = {"name": backbone.name, "fingerprint": backbone.fingerprint}
    precision = "int8" if int8 else "fp32"
    return _as_json({"backbone": network, "preprocessing": backbone.preprocessing.as_dict(), "precision": precision})


def _as_json(metadata: Mapping[str, object]) -> dict[str, str]:
    return {key: json.dumps(value, ensure_ascii=False) for key, value in metadata.items()}


def save(model: onnx.ModelProto, path: Path, *, one_file_bytes: int = ONE_FILE_BYTES) -> list[Path]:
    """Write a model. Returns the written files, first that of the model itself.

    Args:
        model: is changed if its weights go into a file of their own.
        path: of the model. Weights that do not fit into it are written to `NAME.data` beside it.
        one_file_bytes: most bytes of weights in the model's own file.

    Raises:
        OSError: the files cannot be written.
    """
    weights = path.with_name(f"{path.name}.data")
    apart = sum(len(tensor.raw_data) for tensor in model.graph.initializer) > one_file_bytes
    weights.unlink(missing_ok=True)  # ONNX would append to an existing file
    if apart:
        onnx.external_data_helper.convert_model_to_external_data(model, location=weights.name, size_threshold=1024)
    part = path.with_name(f".{path.name}.part")
    onnx.save_model(model, part)
    part.replace(path)  # a reader sees the old model or the new one, never a part of it
    return [path, weights] if apart else [path]

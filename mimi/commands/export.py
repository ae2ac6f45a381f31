"""`mimi export`: writes a task, or the backbone that all tasks share, as an ONNX model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mimi.errors import BadOption
from mimi.parameters import Json

if TYPE_CHECKING:
    import onnx

    from adapters_store import Manifest, TaskAdapter
    from backbone import Backbone

TOLERANCE = 1e-3  # of the golden logits, relative to max(1, max |golden logit|), as a server allows
INT8_TOLERANCE = 0.1  # finds a broken model; only test images show what int8 costs in accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The options of `mimi export`.

    Attributes:
        shared: the backbone alone, with adapters and head as inputs.
        int8: compute the backbone's products with its weights in int8.
        backbone: a timm architecture; none: the task's, and with --shared the bundled backbone.
        weights: a safetensors file with the backbone's weights.
    """

    shared: bool = False
    int8: bool = False
    backbone: str | None = None
    weights: Path | None = None


def export(
    chosen: Annotated[Model, "Options"],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="the model to write")],
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="a task adapter file: everything in it becomes constant")
    ] = None,
    json: Json = False,
) -> int:
    """Write a task, or the backbone whose adapters are inputs, as an ONNX model for any ONNX Runtime.

    The model of a task is compared with the golden sample of its file before it is written.
    """
    from mimi.terminal import print_json, working

    if (file is None) != chosen.shared:
        raise BadOption("name a task adapter file, or give --shared, but not both")
    with working("exporting"):
        model, told = _shared(chosen) if file is None else _task(file, chosen)
        paths = _save(model, out)
    if json:
        print_json({"files": {str(path): path.stat().st_size for path in paths}, "note": told})
        return 0
    for path in paths:
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    print(told)
    return 0


def _shared(options: Model) -> "tuple[onnx.ModelProto, str]":
    from backbone import BUNDLED
    from backbone.onnx import shared_model

    backbone = _load(options.backbone or BUNDLED, options.weights)
    return shared_model(
        backbone
    ), f"{backbone.name}, with adapters of {len(backbone.sites)} sites and the head as inputs"


def _task(file: Path, options: Model) -> "tuple[onnx.ModelProto, str]":
    from adapters_store import digest, unpack
    from mimi.files import read_file
    from service.engine.weights import check

    data = read_file(file)
    adapter = unpack(data)
    backbone = _load(options.backbone or adapter.manifest.backbone.name, options.weights)
    check(backbone, adapter)
    model = _model_of(backbone, adapter, digest(data), int8=options.int8)
    off = _verify(model, backbone, adapter, INT8_TOLERANCE if options.int8 else TOLERANCE)
    return model, f"golden sample: logits are off by {off:.1e} at most"


def _model_of(backbone: "Backbone", adapter: "TaskAdapter", sha256: str, *, int8: bool) -> "onnx.ModelProto":
    import numpy as np
    import torch

    from backbone import SiteWeights
    from backbone.onnx import task_model

    def tensor(array: "np.ndarray") -> torch.Tensor:
        return torch.from_numpy(array.astype(np.float32))

    return task_model(
        backbone,
        {index: SiteWeights(tensor(site.down), tensor(site.up)) for index, site in adapter.sites.items()},
        (tensor(adapter.head_weight), tensor(adapter.head_bias)),
        _about(adapter.manifest) | {"sha256": sha256},
        int8=int8,
    )


def _about(manifest: "Manifest") -> dict[str, object]:
    """The description of the outputs that the model carries."""
    said: dict[str, object] = {"labels": manifest.labels, "description": manifest.description}
    if manifest.answers is not None:
        said["answers"] = {
            "activation": manifest.answers.activation,
            "temperature": manifest.answers.temperature,
            "thresholds": manifest.answers.thresholds,
        }
    return said


def _verify(model: "onnx.ModelProto", backbone: "Backbone", adapter: "TaskAdapter", tolerance: float) -> float:
    """The largest difference between the model's logits and the golden logits.

    Raises:
        ExportMismatch: it is too large, and the model must not be written.
    """
    import numpy as np
    import torch
    from onnxruntime import InferenceSession
    from PIL import Image

    from backbone.onnx import LOGITS, PIXELS
    from mimi.errors import ExportMismatch

    golden = adapter.golden_logits
    pixels = torch.from_numpy(backbone.preprocessing.pixels(Image.fromarray(adapter.golden_image)).copy())
    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (logits,) = session.run([LOGITS], {PIXELS: backbone.preprocessing.normalize(pixels[None]).numpy()})
    off = float(np.abs(logits[0] - golden).max())
    if not off <= tolerance * max(1.0, float(np.abs(golden).max())):  # not `>`: NaN must fail
        raise ExportMismatch(f"the exported model differs from the golden logits by {off:.3g}; nothing was written")
    return off


def _load(name: str, weights: Path | None) -> "Backbone":
    from backbone import load_backbone

    return load_backbone(name, weights=weights)


def _save(model: "onnx.ModelProto", path: Path) -> list[Path]:
    from backbone.onnx import save
    from mimi.errors import UnwritableFile

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return save(model, path)
    except OSError as error:
        raise UnwritableFile(f"{path}: {error.strerror}") from error

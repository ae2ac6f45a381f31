"""An engine in this process, and the task adapter files it answers for.

`mimi predict` and `mimi bench` compute with it. It is the server's engine with the server's kernels, so the answers are
the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mimi.errors import BadOption, UnreadableFile
from mimi.files import read_file

if TYPE_CHECKING:
    from adapters_store import TaskAdapter
    from backbone import Backbone
    from service.engine import Engine, Resident
    from service.engines import Kernels


@dataclass(frozen=True, slots=True, kw_only=True)
class Computing:
    """Options of the engine, as for a server.

    Attributes:
        engine: torch, or onnx for ONNX Runtime.
        device: cpu or cuda; auto: cuda if there is such a device.
        precision: of the forward pass; auto: bf16 with torch on cuda, else fp32.
        kernels: the CPU's compiled kernels: none, those that `mimi compile` has made, or compiled now if missing.
        backbone: a timm architecture; none: the one that the task adapter file names.
        weights: a safetensors file with the backbone's weights.
    """

    engine: Literal["torch", "onnx"] = "torch"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    kernels: Literal["off", "cached", "compiled"] = "compiled"
    backbone: str | None = None
    weights: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class File:
    """A task adapter file that is at hand."""

    task: str
    sha256: str
    adapter: "TaskAdapter"


@dataclass(frozen=True, slots=True, eq=False)
class Local:
    """Tasks that this process answers for."""

    engine: "Engine"
    kernels: "Kernels | None"
    tasks: Sequence[tuple[File, "Resident"]]

    @property
    def backbone(self) -> "Backbone":
        """The frozen network of all of them."""
        return self.engine.backbone


def is_here(word: str) -> bool:
    """Whether a word names a file, or else a task that ships."""
    from adapters_store.bundled import bundled_tasks

    return Path(word).is_file() or word in bundled_tasks()


def read_task(word: str) -> File:
    """The file that a word names, or the task of that name that ships.

    Raises:
        UnreadableFile: there is neither.
        ArtifactError: the file is no task adapter.
    """
    from adapters_store import digest, unpack
    from adapters_store.bundled import bundled_tasks

    path, ships = Path(word), bundled_tasks()
    if path.is_file():
        data = read_file(path)
        return File(path.stem, digest(data), unpack(data))
    if word not in ships:
        known = ", ".join(ships)
        raise UnreadableFile(f"{word}: no such file, and no task that ships ({known}); --url asks a server's tasks")
    return File(word, digest(ships[word]), unpack(ships[word]))


def opened(files: Sequence[File], computing: Computing) -> Local:
    """An engine with these tasks in memory.

    Raises:
        BackboneError: the backbone cannot be loaded.
        AdmissionError: a file was made for another backbone or preprocessing than the first one.
        SettingsError: this machine cannot compute so.
    """
    import torch

    from backbone import load_backbone
    from backbone.memory import keep_large_blocks
    from service.engines import make_engine
    from service.settings import Settings
    from training.prepare import with_resize

    keep_large_blocks()
    manifest = files[0].adapter.manifest
    if len({file.task for file in files}) < len(files):
        raise BadOption("two of the files have the same name, and so would their tasks")
    backbone = load_backbone(computing.backbone or manifest.backbone.name, weights=computing.weights)
    resize: Literal["crop", "squash"] = "squash" if manifest.preprocessing.get("resize") == "squash" else "crop"
    precision = computing.precision
    if precision == "auto" and (computing.device == "cpu" or not torch.cuda.is_available()):
        precision = "fp32"  # a server measures which is faster; here the answers must not depend on that
    settings = Settings(
        engine=computing.engine, device=computing.device, precision=precision, kernels=computing.kernels
    )
    engine, kernels = make_engine(settings, with_resize(backbone, resize))
    if kernels is not None:
        kernels.start()
        kernels.close()  # a second or two where the library is missing
    return Local(engine, kernels, [(file, engine.admit(file.adapter, file.sha256)) for file in files])

"""Makes the program of one kind: a shared library, by PyTorch's ahead-of-time compiler.

Weights are arguments of the program, so that it serves every sub-layer of its kind; the batch is free from 1 on.
"""

import shutil
import tempfile
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn
from torch._inductor import aoti_compile_and_package
from torch.func import functional_call

from backbone.compiled.errors import CompileError, CompilerMissing
from backbone.compiled.kinds import Kind, named_weights, weights_of

_COMPILERS = ("c++", "g++", "clang++")
_MOST_IMAGES = 4096
_OPTIONS = {"cpp.dynamic_threads": True}  # as many threads as PyTorch has where it runs, not where it was made


class _Call(nn.Module):
    """A branch whose weights are arguments."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self._branch = [branch]  # in a list, so that its weights are not this module's
        self._names = [name for name, _ in named_weights(branch)]

    def forward(self, x: Tensor, weights: list[Tensor]) -> Tensor:
        h: Tensor = functional_call(self._branch[0], dict(zip(self._names, weights, strict=True)), (x,))
        return h


def build(kind: Kind, path: Path) -> None:
    """Write the program of `kind` to `path`; the file is there whole or not at all.

    Raises:
        CompilerMissing: this machine has no C++ compiler.
        CompileError: the compiler fails.
    """
    if not any(shutil.which(name) for name in _COMPILERS):
        raise CompilerMissing("no C++ compiler is installed (on Debian: apt install g++)")
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "program.pt2"
        try:
            aoti_compile_and_package(_export(kind), package_path=str(package), inductor_configs=dict(_OPTIONS))
        except Exception as error:  # whatever a compiler of this size raises
            raise CompileError(f"sub-layer {kind.site.index} could not be compiled: {error}") from error
        _take_library(package, path)


def _export(kind: Kind) -> torch.export.ExportedProgram:
    weights = weights_of(kind.site.branch)
    batch = torch.export.Dim("batch", min=1, max=_MOST_IMAGES)
    shapes = {"x": {0: batch}, "weights": [{} for _ in weights]}
    with torch.no_grad():
        return torch.export.export(
            _Call(kind.site.branch), (torch.zeros(2, *kind.shape), weights), dynamic_shapes=shapes
        )


def _take_library(package: Path, path: Path) -> None:
    """The shared library alone: what else is in the package is for loading it through PyTorch's own loader."""
    with zipfile.ZipFile(package) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".so"))
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(archive.read(name))
    part.replace(path)

"""The folder of compiled programs: one sub-folder for each processor and PyTorch, one library for each kind.

A library is native code that this process will run: the folder must be writable by the server's own user only.
"""

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from backbone.compiled.errors import ProgramUnusable
from backbone.compiled.kinds import Kind, kinds_of, weights_of
from backbone.compiled.program import CompiledBranch, Program, check
from backbone.network import Backbone

Branch = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The branches of a backbone, compiled where a program was there.

    Attributes:
        branches: one for each site.
        compiled: how many of them are compiled.
        problems: why programs that were there are not used.
    """

    branches: tuple[Branch, ...]
    compiled: int
    problems: tuple[str, ...]


class Cache:
    """Programs for this processor and this PyTorch, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / machine()

    def path(self, kind: Kind) -> Path:
        """Where the program of a kind lies, or would."""
        return self._folder / f"{kind.digest}.so"

    def missing(self, backbone: Backbone) -> list[Kind]:
        """Kinds whose program is not there, each once, in the order of the network."""
        kinds: dict[str, Kind] = {}
        for kind in kinds_of(backbone):
            kinds.setdefault(kind.digest, kind)
        return [kind for kind in kinds.values() if not self.path(kind).is_file()]

    def fill(self, backbone: Backbone) -> Iterator[Kind]:
        """Make what is missing; gives each kind when its program is there.

        Raises:
            CompilerMissing, CompileError: see backbone.compiled.errors.
            OSError: the folder cannot be written.
        """
        from backbone.compiled.build import build  # noqa: PLC0415 - brings a compiler along, which serving does not need

        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for kind in self.missing(backbone):
            build(kind, self.path(kind))
            yield kind

    def load(self, backbone: Backbone) -> Loaded:
        """Branches for every site; a program is used only if it gives what the module gives."""
        kinds = kinds_of(backbone)
        problems: list[str] = []
        programs: dict[str, Program | None] = {}
        for kind in kinds:
            if kind.digest not in programs:
                programs[kind.digest], problem = self._program(kind)
                problems += problem
        branches = [_bind(programs[kind.digest], kind) for kind in kinds]
        compiled = sum(isinstance(branch, CompiledBranch) for branch in branches)
        return Loaded(tuple(branches), compiled, tuple(problems))

    def _program(self, kind: Kind) -> tuple[Program | None, Sequence[str]]:
        path = self.path(kind)
        if not path.is_file():
            return None, ()
        try:
            program = Program(path)
            check(CompiledBranch(program, weights_of(kind.site.branch)), kind.site.branch, kind.shape)
        except ProgramUnusable as error:
            return None, (str(error),)
        return program, ()


def _bind(program: Program | None, kind: Kind) -> Branch:
    return kind.site.branch if program is None else CompiledBranch(program, weights_of(kind.site.branch))


def machine() -> str:
    """Names what a program is good for: this processor's instructions, this PyTorch, the arithmetic of this version."""
    source = sha256()
    for name in ("layers.py", "cvt.py"):
        source.update((Path(__file__).parents[1] / name).read_bytes())
    processor = (platform.machine(), _flags(), torch.backends.cpu.get_cpu_capability())
    return sha256(repr((processor, torch.__version__, source.hexdigest())).encode()).hexdigest()[:16]


def _flags() -> str:
    """The processor's instruction sets, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def default_folder() -> Path:
    """Where programs are kept unless another folder is named: below the user's own cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mimi" / "compiled"

"""Compiles the kernels: one shared library for each instruction-set level, by any C++ compiler."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal

import torch

from backbone.kernels.errors import CompilerMissing, KernelError

_SOURCES = tuple(
    Path(__file__).with_name(name)
    for name in (
        "kernels.cpp",
        "attention.h",
        "numbers.h",
        "products.h",
        "rows.h",
        "tile_attention.h",
        "tiles.h",
        "vectors.h",
    )
)
_COMPILERS = ("c++", "g++", "clang++")
_FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC")

Precision = Literal["fp32", "bf16", "int8"]  # of the factors of products with frozen weights

PLAIN = "plain"  # the instructions that every processor of this kind has
VNNI = "x86-64-v4-vnni"
BF16 = "x86-64-v4-bf16"
AMX = "x86-64-v4-amx"
LEVELS = {  # of the x86-64 psABI, and three beyond, with the compiler's flags
    PLAIN: (),
    "x86-64-v3": ("-march=x86-64-v3",),
    "x86-64-v4": ("-march=x86-64-v4",),
    VNNI: ("-march=x86-64-v4", "-mavx512vnni"),
    BF16: ("-march=x86-64-v4", "-mavx512vnni", "-mavx512bf16"),
    AMX: ("-march=x86-64-v4", "-mavx512vnni", "-mavx512bf16", "-mamx-tile", "-mamx-bf16", "-mamx-int8"),
}


def level() -> str:
    """The level of this machine's processor."""
    if torch.cpu._is_avx512_bf16_supported():
        return AMX if torch.cpu._is_amx_tile_supported() else BF16
    if torch.cpu._is_vnni_supported():
        return VNNI
    return {"AVX2": "x86-64-v3", "AVX512": "x86-64-v4"}.get(torch.backends.cpu.get_cpu_capability(), PLAIN)


def multiplies(precision: Precision) -> bool:
    """Whether kernels can multiply such numbers here."""
    known: dict[Precision, tuple[str, ...]] = {"bf16": (BF16, AMX), "int8": (VNNI, BF16, AMX)}
    return precision == "fp32" or level() in known[precision]


def library_name(level: str) -> str:
    """File name of the library for a level: it changes with the sources and the flags."""
    digest = sha256(repr((_FLAGS, LEVELS[level])).encode())
    for source in _SOURCES:
        digest.update(source.read_bytes())
    return f"mimi-kernels-{level}-{digest.hexdigest()[:12]}.so"


def build(folder: Path, level: str, *, defines: Sequence[str] = ()) -> Path:
    """Compile the library for `level` into `folder`; the file appears whole or not at all.

    Takes about a second, at the lowest priority.

    Args:
        folder: is made if it is not there.
        level: see `level`.
        defines: of the preprocessor, for tests.

    Raises:
        CompilerMissing: this machine has no C++ compiler.
        KernelError: the compiler fails.
        OSError: the folder cannot be written.
    """
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        raise CompilerMissing("no C++ compiler is installed (on Debian: apt install g++)")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / library_name(level)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".making-") as scratch:
        part, objects = Path(scratch) / path.name, Path(scratch) / "kernels.o"
        flags = (*_FLAGS, *LEVELS[level], *(f"-D{define}" for define in defines))
        _run(compiler, *flags, "-c", str(_SOURCES[0]), "-o", str(objects))
        # OpenMP is not linked: the process has PyTorch's, and a second copy would start threads of its own.
        _run(compiler, "-shared", str(objects), "-o", str(part))
        part.replace(path)
    return path


def _run(*command: str) -> None:
    made = subprocess.run((*_lowest_priority(), *command), capture_output=True, text=True, check=False)
    if made.returncode:
        raise KernelError(f"{Path(command[0]).name} fails: {made.stderr.strip() or made.returncode}")


def _lowest_priority() -> Sequence[str]:
    """The prefix of a command that runs at the lowest priority."""
    return ("nice", "-n", "19") if shutil.which("nice") else ()


def default_folder() -> Path:
    """The folder of libraries unless another one is named: below the user's own cache folder.

    Raises:
        KernelError: this user has no home folder. A shared folder is no substitute, because others can write there.
    """
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "mimi" / "kernels"
    try:
        return Path.home() / ".cache" / "mimi" / "kernels"
    except RuntimeError:
        reason = "this user has no home folder to keep compiled kernels in: set HOME, or name a folder for kernels"
        raise KernelError(reason) from None

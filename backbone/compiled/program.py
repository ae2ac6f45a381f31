"""Runs a compiled program through the C interface that PyTorch's ahead-of-time libraries export.

Not through PyTorch's own loader, because that one holds the interpreter's lock for as long as a program runs: nothing
else in the process, not even the event loop, would go on meanwhile. A call through ctypes lets go of it. The interface
is `torch/csrc/inductor/aoti_runtime/interface.h`, whose handles are `at::Tensor *`.
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch._C import _aoti

from backbone.compiled.errors import ProgramUnusable

_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_of = ctypes.pythonapi.PyCapsule_New


class Program:
    """A loaded library: one function of tensors to one tensor. Stays loaded as long as the process."""

    def __init__(self, path: Path) -> None:
        """Load it.

        Raises:
            ProgramUnusable: it is not a library that this process can load.
        """
        self._container = ctypes.c_void_p()
        try:
            library = ctypes.CDLL(str(path))
            create, run = library.AOTInductorModelContainerCreateWithDevice, library.AOTInductorModelContainerRun
        except (OSError, AttributeError) as error:
            raise ProgramUnusable(f"{path.name} cannot be loaded: {error}") from error
        create.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_char_p)
        run.argtypes = (
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_void_p,
            ctypes.c_void_p,
        )
        self._run = run
        if create(ctypes.byref(self._container), 1, b"cpu", None):
            raise ProgramUnusable(f"{path.name} cannot be set up")

    def __call__(self, tensors: Sequence[Tensor]) -> Tensor:
        """The output for `tensors`: float32 and contiguous, of the shapes it was made for, nobody checks that again.

        Raises:
            ProgramUnusable: the library reports an error.
        """
        capsules = _aoti.unsafe_alloc_void_ptrs_from_tensors(list(tensors))
        inputs = (ctypes.c_void_p * len(tensors))(*(_pointer_of(capsule, None) for capsule in capsules))
        output = (ctypes.c_void_p * 1)()
        # The handles are the library's from here on, whatever becomes of the call.
        if self._run(self._container, inputs, len(tensors), output, 1, None, None):
            raise ProgramUnusable("a compiled sub-layer failed")
        # The function for several handles: its twin for one keeps a reference, and with it every output for ever.
        results: list[Tensor] = _aoti.alloc_tensors_by_stealing_from_void_ptrs([_capsule_of(output[0], None, None)])
        return results[0]


_pointer_of.restype, _pointer_of.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
_capsule_of.restype = ctypes.py_object
_capsule_of.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


class CompiledBranch:
    """One sub-layer's branch, computed by a program of its kind."""

    def __init__(self, program: Program, weights: Sequence[Tensor]) -> None:
        """Bind the weights to the program."""
        self._program, self._weights = program, list(weights)

    def __call__(self, x: Tensor) -> Tensor:
        """(B, ..., C) -> (B, ..., C)."""
        return self._program([x.contiguous(), *self._weights])


def check(branch: CompiledBranch, reference: torch.nn.Module, shape: Sequence[int]) -> None:
    """Compare a compiled branch with the module it stands for, on two images.

    Raises:
        ProgramUnusable: they differ by more than float32 explains.
    """
    # Random, because a norm over channels that are nearly equal would only show rounding.
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours, theirs = branch(x), reference(x)
    if ours.shape != theirs.shape or not torch.allclose(ours, theirs, rtol=0, atol=_tolerance(theirs)):
        raise ProgramUnusable("a compiled sub-layer does not give what the module gives")


def _tolerance(reference: Tensor) -> float:
    return 1e-5 * max(1.0, float(reference.abs().max()))

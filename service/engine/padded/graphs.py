"""Launches recorded once and played back: on a GPU a small batch costs mostly what it costs to launch its kernels.

What is recorded reads and writes fixed places, so inputs are copied into those of the recording; one that lies there
already, because the recording before it wrote it there, is not.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Function = Callable[..., Tensor]
_WARM_UPS = 3  # libraries choose algorithms and workspaces in the first calls, which must not be recorded


class Player(Protocol):
    """Runs a function of tensors, as it is or recorded."""

    def run(self, key: Hashable, function: Function, inputs: Sequence[Tensor]) -> Tensor:
        """The function's output; equal keys promise the same launches for inputs of the same shapes."""
        ...

    def forget(self) -> None:
        """Drop all recordings: what they read has moved."""
        ...


class Direct:
    """Runs everything as it is."""

    def run(self, key: Hashable, function: Function, inputs: Sequence[Tensor]) -> Tensor:
        """Call it."""
        return function(*inputs)

    def forget(self) -> None:
        """Nothing is recorded."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One CUDA graph with the places it reads and writes."""

    graph: torch.cuda.CUDAGraph
    inputs: Sequence[Tensor]
    output: Tensor

    def play(self, inputs: Sequence[Tensor]) -> Tensor:
        """Copy what is not in its place yet, and launch."""
        for place, given in zip(self.inputs, inputs, strict=True):
            if place.data_ptr() != given.data_ptr():
                place.copy_(given, non_blocking=True)
        self.graph.replay()
        return self.output


class Graphs:
    """Records on a CUDA device; the least recently used recordings go first."""

    def __init__(self, *, most: int) -> None:
        """Keep up to `most` recordings, which share one pool of memory."""
        self._most, self._recordings = most, OrderedDict[Hashable, Recording]()
        self._pool = torch.cuda.graph_pool_handle()

    def run(self, key: Hashable, function: Function, inputs: Sequence[Tensor]) -> Tensor:
        """Play the recording of `key`; make it first if there is none."""
        recording = self._recordings.pop(key, None) or self._record(function, inputs)
        self._recordings[key] = recording  # the last one now
        if len(self._recordings) > self._most:
            self._recordings.popitem(last=False)
        return recording.play(inputs)

    def forget(self) -> None:
        """Drop all recordings."""
        self._recordings.clear()

    def _record(self, function: Function, inputs: Sequence[Tensor]) -> Recording:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                function(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # thread_local: weights are sent by other threads meanwhile, which a capture of the whole process would forbid
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            output = function(*inputs)
        return Recording(graph, list(inputs), output)

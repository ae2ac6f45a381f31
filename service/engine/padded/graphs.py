"""Records launches once and replays them: the time of a small batch on a GPU is mostly that of its launches.

A recording reads and writes fixed tensors, so inputs are copied into its own. An input is not copied if the recording
before wrote it there.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

Function = Callable[..., Tensor]
Pool = Any  # a handle that only its recorder understands
_WARM_UPS = 3  # libraries choose algorithms and workspaces in the first calls, which must not be recorded


class Player(Protocol):
    """Runs a function of tensors, directly or as a recording."""

    def run(self, key: Hashable, function: Function, inputs: Sequence[Tensor]) -> Tensor:
        """The function's output; equal keys promise the same launches for inputs of the same shapes."""
        ...

    def forget(self) -> None:
        """Drop all recordings: the weights they read have moved."""
        ...


class Direct:
    """Calls functions directly."""

    def run(self, key: Hashable, function: Function, inputs: Sequence[Tensor]) -> Tensor:
        """Call it."""
        return function(*inputs)

    def forget(self) -> None:
        """Does nothing: there are no recordings."""


class Graph(Protocol):
    """One recording's launches; `torch.cuda.CUDAGraph` is one."""

    def replay(self) -> None:
        """Launch them."""
        ...


@dataclass(frozen=True, slots=True)
class Recording:
    """A graph with the places it reads and writes."""

    graph: Graph
    inputs: Sequence[Tensor]
    output: Tensor

    def play(self, inputs: Sequence[Tensor]) -> Tensor:
        """Copy the inputs that are not in place yet, and launch."""
        for recorded, given in zip(self.inputs, inputs, strict=True):
            if recorded.data_ptr() != given.data_ptr():
                recorded.copy_(given, non_blocking=True)
        self.graph.replay()
        return self.output


class Recorder(Protocol):
    """Records graphs into pools of memory; recordings of one pool are played one after the other."""

    def new_pool(self) -> Pool:
        """A pool that holds nothing."""
        ...

    def record(self, function: Function, inputs: Sequence[Tensor], pool: Pool) -> Recording:
        """Record a function; what it allocates lies in `pool`."""
        ...


class CudaRecorder:
    """CUDA graphs."""

    def new_pool(self) -> Pool:
        """A handle."""
        return torch.cuda.graph_pool_handle()

    def record(self, function: Function, inputs: Sequence[Tensor], pool: Pool) -> Recording:
        """Warm up on a stream of its own, then capture."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                function(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # thread_local: other threads copy weights meanwhile, which a capture of the whole process would forbid
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            output = function(*inputs)
        return Recording(graph, list(inputs), output)


class Graphs:
    """Records functions and replays them. The least recently used recordings are dropped first.

    All recordings share a pool of memory until `forget`. After that a new pool is begun: PyTorch closes a pool with its
    last graph, and does not open it again while an output of such a graph is alive.
    """

    def __init__(self, *, most: int, recorder: Recorder | None = None) -> None:
        """Keep up to `most` recordings, made by `recorder`; by CUDA graphs where None."""
        self._most, self._recordings = most, OrderedDict[Hashable, Recording]()
        self._recorder: Recorder = recorder or CudaRecorder()
        self._pool = self._recorder.new_pool()

    def run(self, key: Hashable, function: Function, inputs: Sequence[Tensor]) -> Tensor:
        """Replay the recording of `key`; make it first if there is none."""
        recording = self._recordings.pop(key, None) or self._recorder.record(function, inputs, self._pool)
        self._recordings[key] = recording  # the last one now
        if len(self._recordings) > self._most:
            self._recordings.popitem(last=False)
        return recording.play(inputs)

    def forget(self) -> None:
        """Drop all recordings, and their pool with them."""
        self._recordings.clear()
        self._pool = self._recorder.new_pool()

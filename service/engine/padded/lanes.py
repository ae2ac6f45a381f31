"""How weights get to the device: beside the batches that are computed there, in time for the one that needs them."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

Write = Callable[[Tensor], None]
Wait = Callable[[], object]


class Lane(Protocol):
    """Sends weights to one device in one dtype. Not thread-safe."""

    def send(self, block: Tensor, write: Write) -> Wait:
        """Bring a `block` from the host to the device, and let `write` copy it to its places there.

        Returns:
            Lets whatever the calling thread launches from then on wait until that is done.
        """
        ...

    def settle(self) -> None:
        """Let all that is sent from now on wait for what the calling thread has launched: the places are new."""
        ...


class Inline:
    """In the calling thread, at once."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype = device, dtype

    def send(self, block: Tensor, write: Write) -> Wait:
        """Done when it returns."""
        write(block.to(self._device, self._dtype))
        return _nothing

    def settle(self) -> None:
        """Nothing is under way."""


class Stream:
    """On a CUDA stream of its own, from pinned memory: batches go on meanwhile, and so does the calling thread."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype = device, dtype
        self._stream = torch.cuda.Stream(device)

    def send(self, block: Tensor, write: Write) -> Wait:
        """Launched when it returns."""
        with torch.cuda.stream(self._stream):
            write(block.pin_memory().to(self._device, non_blocking=True).to(self._dtype))
            wait: Wait = self._stream.record_event().wait
        return wait

    def settle(self) -> None:
        """As `Lane.settle`."""
        self._stream.wait_stream(torch.cuda.current_stream(self._device))


def _nothing() -> None:
    """There is nothing to wait for."""

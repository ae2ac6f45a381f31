"""Compiled kernels for the running engine: used at once if they are there, else as soon as they have been compiled.

The compiler runs at the lowest priority beside the server, and the library comes into use between two batches. If
anything fails, the network's own modules go on answering.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from backbone import Backbone
from backbone.backend import Backend
from backbone.kernels import best, path_in

_log = logging.getLogger(__name__)


class Kernels:
    """Looks after the kernels of one backbone."""

    def __init__(
        self,
        backbone: Backbone,
        folder: Path,
        use: Callable[[Backend], None],
        *,
        compiles: bool,
        bf16: bool = False,
    ) -> None:
        """Nothing happens before `load` or `start`.

        Args:
            backbone: what is served.
            folder: where libraries lie.
            use: takes the backend that computes the network, from any thread.
            compiles: whether `start` has a missing library made.
            bf16: whether products with the backbone's weights are computed in bfloat16.
        """
        self._backbone, self._folder, self._use, self._compiles, self._bf16 = backbone, folder, use, compiles, bf16
        self._thread = threading.Thread(target=self._make, name="mimi-kernels")

    def load(self) -> int:
        """Use what the folder holds for this processor; returns how many sub-layers it computes."""
        return self._take(compiles=False)

    def start(self) -> None:
        """Have a missing library made, and use it once it is there."""
        if self._compiles and not path_in(self._folder).is_file():
            self._thread.start()

    def close(self) -> None:
        """Wait for what `start` began: a second or two."""
        if self._thread.ident is not None:
            self._thread.join()

    def _make(self) -> None:
        self._take(compiles=True)

    def _take(self, *, compiles: bool) -> int:
        found = best(self._backbone, self._folder, compiles=compiles, bf16=self._bf16)
        if found.compiled:
            self._use(found)
        _log.info("%d of %d sub-layers are computed by compiled kernels", found.compiled, len(self._backbone.sites))
        return found.compiled

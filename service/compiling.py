"""Compiled sub-layers for the running engine: what the folder holds at once, the rest when it has been made.

They are made in a process of the lowest priority, which takes only what nobody else wants of the processor, and come
into use between two batches. Whatever goes wrong with them, the network's own modules go on answering.
"""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from backbone import Backbone
from backbone.compiled import Branch, Cache

_log = logging.getLogger(__name__)


class Compiling:
    """Looks after the compiled sub-layers of one backbone."""

    def __init__(
        self, backbone: Backbone, folder: Path, use: Callable[[Sequence[Branch]], None], *, background: bool
    ) -> None:
        """Nothing happens before `load` or `start`.

        Args:
            backbone: what is served.
            folder: where programs lie.
            use: takes branches for every site, from any thread.
            background: whether `start` has what is missing made.
        """
        self._backbone, self._folder, self._use, self._background = backbone, folder, use, background
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._wait, name="mimi-compiling", daemon=True)

    def load(self) -> int:
        """Use what the folder holds for this processor; returns how many sub-layers are compiled now."""
        loaded = Cache(self._folder).load(self._backbone)
        for problem in loaded.problems:
            _log.warning("not used: %s", problem)
        if loaded.compiled:
            self._use(loaded.branches)
        _log.info("%d of %d sub-layers are compiled for this processor", loaded.compiled, len(loaded.branches))
        return loaded.compiled

    def start(self) -> None:
        """Have what is missing made in the background, and use it once it is there."""
        if not self._background or not Cache(self._folder).missing(self._backbone):
            return
        command = [sys.executable, "-m", "backbone.compiled", self._backbone.name, "--cache", str(self._folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self._thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait for what `start` began."""
        if self._process is not None:
            self._thread.join(timeout)

    def close(self) -> None:
        """End what `start` began."""
        if self._process is not None:
            self._process.terminate()
            self._thread.join()

    def _wait(self) -> None:
        assert self._process is not None  # started by `start` alone
        _, errors = self._process.communicate()
        if self._process.returncode > 0:
            _log.warning("compiling ended early: %s", (errors.strip().splitlines() or ["no reason given"])[-1])
        if self._process.returncode >= 0:  # not ended by us
            self.load()

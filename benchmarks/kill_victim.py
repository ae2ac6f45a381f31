"""Publishers that die in the middle of it, for `benchmarks.kills` and the store's tests.

Started once, it reads one order a line, `url life step delay`, and forks a publisher for each. With a step the
publisher kills itself there: before or after the step-th system call or SQLite instruction of its life. Without, it is
killed so many seconds after its first acknowledgement. Each acknowledged version is a line `version sha256 size`;
`dead` ends the life.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from itertools import count
from types import FrameType

from adapters_store import open_store

TASK = "victim"
WATCHED = ("posix", "fcntl", "sqlite3")  # modules whose functions reach the disk
STDOUT = 1


def payload(life: int, turn: int) -> bytes:
    """Return bytes unlike any other's, of 17 bytes to 256 KiB."""
    return f"{life}-{turn}".encode().ljust(16 + 4 ** ((life + turn) % 10), b"|")


def publish_for_ever(url: str, life: int, step: int, begun: int) -> None:
    """Publish one version after another, acknowledging each on standard output; close `begun` after the first."""
    tick = suicide(step)
    if step:
        sys.setprofile(lambda frame, event, function: on_call(tick, frame, event, function))
    store = open_store(url)
    connection = getattr(getattr(store, "_backend", None), "_connection", None)
    if step and connection is not None:
        connection.set_progress_handler(tick, 1)  # also between two instructions inside one statement
    for turn in count():
        version = store.publish(TASK, payload(life, turn)).version
        os.write(STDOUT, f"{version.version} {version.sha256} {version.size}\n".encode())
        if turn == 0:
            os.close(begun)


def suicide(step: int) -> Callable[[], int]:
    """Return a function that kills this process when called for the step-th time."""
    steps = count(1)

    def tick() -> int:
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    return tick


def on_call(tick: Callable[[], int], _: FrameType, event: str, function: object) -> None:
    """Count a step before and after each call into a watched module."""
    if event in ("c_call", "c_return"):
        module = getattr(function, "__module__", None) or type(getattr(function, "__self__", None)).__module__
        if module in WATCHED:
            tick()


def live_and_die(url: str, life: int, step: int, delay: float) -> None:
    """Fork a publisher and see it die."""
    waiting, begun = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            publish_for_ever(url, life, step, begun)
        finally:
            os._exit(1)  # reached only by an error, which `kills` reports
    os.close(begun)
    if not step:
        os.read(waiting, 1)  # nothing ever comes; it ends when the last writer closes
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    os.close(waiting)
    status = os.waitpid(child, 0)[1]
    os.write(STDOUT, b"dead\n" if os.WIFSIGNALED(status) else b"failed\n")


def main() -> int:
    """Carry out the orders on standard input until it closes."""
    for line in sys.stdin:
        url, life, step, delay = line.split(" ")
        live_and_die(url, int(life), int(step), float(delay))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Publishers that are killed while they publish, for `tests.stress.kills`.

The process reads one order a line, `url number step delay`, and forks a publisher for each. With a step the publisher
kills itself before or after its step-th system call or SQLite instruction. With step 0 it is killed `delay` seconds
after its first acknowledgement. Each acknowledged version is a line `version sha256 size`; `dead` ends the answer.
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


def payload(number: int, turn: int) -> bytes:
    """Return bytes unlike any other's, of 17 bytes to 256 KiB."""
    return f"{number}-{turn}".encode().ljust(16 + 4 ** ((number + turn) % 10), b"|")


def publish_for_ever(url: str, number: int, step: int, begun: int) -> None:
    """Publish one version after another, acknowledging each on standard output; close `begun` after the first."""
    tick = killer(step)
    if step:
        sys.setprofile(lambda frame, event, function: on_call(tick, frame, event, function))
    store = open_store(url)
    connection = getattr(getattr(store, "_backend", None), "_connection", None)
    if step and connection is not None:
        connection.set_progress_handler(tick, 1)  # also between two instructions inside one statement
    for turn in count():
        version = store.publish(TASK, payload(number, turn)).version
        os.write(STDOUT, f"{version.version} {version.sha256} {version.size}\n".encode())
        if turn == 0:
            os.close(begun)


def killer(step: int) -> Callable[[], int]:
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


def publish_until_killed(url: str, number: int, step: int, delay: float) -> None:
    """Fork a publisher and wait until it is killed."""
    waiting, begun = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            publish_for_ever(url, number, step, begun)
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
        url, number, step, delay = line.split(" ")
        publish_until_killed(url, int(number), int(step), float(delay))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Large blocks are kept: a second use of the same size, in any thread, asks the kernel for next to nothing."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, threading
from backbone.memory import keep_large_blocks
if "keep" in sys.argv and not keep_large_blocks():
    sys.exit(3)
import torch

def use():
    torch.empty(25_000_000).fill_(1.0)  # 100 MB: more than an arena of a thread can hold

def measure():
    use()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        use()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

thread = threading.Thread(target=measure)
thread.start()
thread.join()
"""
PAGES = 5 * 100_000_000 // 4096


def page_faults(*arguments: str) -> int:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode == 3:
        pytest.skip("the C library is not glibc")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_thread_gets_the_same_pages_again() -> None:
    assert page_faults("keep") < PAGES / 2 < page_faults()  # not none: the kernel may take idle pages back by itself

"""Memory of batches is kept, with almost no calls of the kernel; blocks with pages of their own return them."""

import subprocess
import sys

import pytest
import torch

from backbone.memory import LargePages, in_pages

USED_AGAIN = """
import resource, sys, threading
from backbone.memory import keep_large_blocks
if "keep" in sys.argv and not keep_large_blocks():
    sys.exit(3)
import torch

def use():
    torch.empty(25_000_000).fill_(1.0)  # 100 MB: more than an arena of a thread can hold

def measure():
    for _ in range(12):  # until the heap has grown to where blocks come to lie at the same place
        use()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        use()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

thread = threading.Thread(target=measure)
thread.start()
thread.join()
"""
HELD_AMONG_OTHERS = """
import sys
from backbone.memory import in_pages, keep_large_blocks
if not keep_large_blocks():
    sys.exit(3)
import torch

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

allocate = in_pages if "pages" in sys.argv else lambda count, dtype: torch.zeros(count, dtype=dtype)
held, others = [], []
for _ in range(100):
    held.append(allocate(250_000, torch.float32).fill_(1.0))
    others.append(torch.ones(1_000))  # holds the heap open between them
before = resident()
held.clear()
print(before - resident())
"""
HELD = 100 * 1_000_000
PAGES = 5 * 100_000_000 // 4096


def printed(program: str, *arguments: str) -> int:
    command = [sys.executable, "-W", "ignore", "-c", program, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode == 3:
        pytest.skip("the C library is not glibc")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_thread_gets_the_same_pages_again() -> None:
    again = printed(USED_AGAIN, "keep")
    assert again < PAGES / 2 < printed(USED_AGAIN)  # not none: the kernel may take idle pages back by itself


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel does not tell a process what it holds")
def test_pages_of_its_own_go_back_whatever_lies_around_them() -> None:
    assert printed(HELD_AMONG_OTHERS, "pages") > 0.9 * HELD > 0.1 * HELD > printed(HELD_AMONG_OTHERS)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_they_begin_as_zeros_and_hold_what_is_written(dtype: torch.dtype) -> None:
    block = in_pages(5_000, dtype)
    assert (block.shape, block.dtype) == ((5_000,), dtype)
    assert torch.equal(block, torch.zeros(5_000, dtype=dtype))
    assert torch.equal(block.copy_(torch.arange(5_000) % 100), (torch.arange(5_000) % 100).to(dtype))


@pytest.mark.parametrize("dtype", [torch.int8, torch.bfloat16, torch.float32])
def test_copies_in_large_pages_are_what_was_copied(dtype: torch.dtype) -> None:
    pages = LargePages()
    originals = [torch.randn(shape).mul(50).to(dtype) for shape in ((3, 5), (0, 7), (4097, 2), (300, 40_000), (1,))]
    copies = [pages.copy(original) for original in originals]
    for original, copy in zip(originals, copies, strict=True):
        assert torch.equal(copy, original)
        assert copy.is_contiguous()
        assert copy.numel() == 0 or copy.data_ptr() % 64 == 0
    copies[0].zero_()
    assert all(torch.equal(*pair) for pair in zip(copies[1:], originals[1:], strict=True))

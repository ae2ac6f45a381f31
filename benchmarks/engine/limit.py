"""The machine's limit: the fastest rate at which PyTorch multiplies float32 matrices here, over sizes and shapes.

A worker's module: the best shape is found first, and then multiplied in each round beside the contestants.
"""

import time

import torch

from benchmarks.engine.job import Calls, Job

Shape = tuple[int, int, int]  # rows, inner, columns
SHAPES: tuple[Shape, ...] = (
    *((side, side, side) for side in (256, 512, 1024, 1536, 2048)),
    *((rows, inner, 4 * inner) for rows, inner in ((6272, 192), (1568, 384), (392, 768))),  # an MLP's, batch 8
)
SECONDS = 0.3  # of multiplying for each shape
FLOPS = 7e10  # Swin-T's for eight images


def build(job: Job) -> Calls:
    """`matmul`: products of the best shape, about as many FLOPs as a contestant's batch: a single one starts cold."""
    torch.set_num_threads(job.threads)
    rates = {shape: best_rate(shape) for shape in SHAPES}
    best = max(rates, key=lambda shape: rates[shape])
    left, right = torch.randn(best[:2]), torch.randn(best[1:])
    out, times = left @ right, max(1, round(FLOPS / flops(best)))
    facts: dict[str, object] = {
        "flops": {"matmul": times * flops(best)},
        "flops_per_second_by_shape": {"x".join(map(str, shape)): rate for shape, rate in rates.items()},
    }

    def matmul() -> torch.Tensor:
        for _ in range(times):
            torch.mm(left, right, out=out)
        return out

    return Calls({"matmul": matmul}, facts)


def flops(shape: Shape) -> int:
    """Of one product."""
    rows, inner, columns = shape
    return 2 * rows * inner * columns


def best_rate(shape: Shape, *, seconds: float = SECONDS) -> float:
    """FLOPs a second of the fastest product of this shape."""
    left, right = torch.randn(shape[:2]), torch.randn(shape[1:])
    out, fastest = left @ right, float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.mm(left, right, out=out)
        fastest = min(fastest, time.perf_counter() - start)
    return flops(shape) / fastest

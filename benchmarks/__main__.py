"""Runs one benchmark by name, or says which there are.

    python -m benchmarks pruned --json pruned.json

Each benchmark is a module of this package with a `main(arguments) -> int`.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

BENCHMARKS = {
    "draft": "what decoding a large JPEG at a fraction of its size changes",
    "serving": "HTTP serving against other servers and against the engine alone",
    "compiling": "what requests notice of kernels being compiled beside them",
    "kills": "what kill -9 does to a store that publishes",
    "swaps": "whether an answer is lost while what is live changes every second",
    "storm": "uploads, deletions and predictions of one task by many threads at once",
    "soak": "a long run: swaps every second, many tasks, cancellations; no wrong answer, flat memory",
    "residency": "how fast a server knows its tasks, how fast a task comes to the device, and what stays there",
    "training": "training throughput against a plain loop",
    "engine": "every task at the price of one: the engine against its goals and its peers",
    "layouts": "adapters of a mixed batch at exact widths, padded, or all in one product, on the CPU",
    "launches": "how many launches a batch asks of a GPU, as it is and recorded",
    "pruned": "the forward pass of a pruned adapter against its cycle 0 and against spread neurons",
    "lowered": "accuracy and time of products in bfloat16 on a CPU, for every task that ships",
    "int8": "accuracy, time and size of an int8 backbone, for every task that ships",
}


def main(arguments: Sequence[str]) -> int:
    """Hand the rest of the command line to the benchmark that its first word names."""
    name, *rest = arguments or ["--help"]
    if name not in BENCHMARKS:
        print("usage: python -m benchmarks NAME [options]   (NAME --help lists the options)\n")
        print("\n".join(f"  {known:8} {what}" for known, what in BENCHMARKS.items()))
        return 0 if name in ("-h", "--help") else 2
    done: int = import_module(f"benchmarks.{name}").main(rest)
    return done


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

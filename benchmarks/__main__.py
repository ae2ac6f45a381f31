"""Runs one benchmark by name, or lists them.

    python -m benchmarks engine --json engine.json
    python -m benchmarks studies.pruned --json pruned.json

Each benchmark is a module of this package with a `main(arguments) -> int`. Studies answered a question that is decided;
`benchmarks/studies/README.md` has the answers. Stress tests are in `tests/stress`.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

BENCHMARKS = {
    "engine": "many tasks on one backbone: the engine against its goals and its peers",
    "serving": "HTTP serving against other servers and against the engine alone",
    "serving.trees": "our server in this checkout against another checkout, in turn: what a change costs or gains",
    "scaling": "a plan past one machine: calculated, simulated, and checked against two replicas here",
    "training": "training throughput against a plain loop",
    "gpu": "everything that needs a CUDA device: tests, engine, training, resuming, pretraining",
    "studies.layouts": "adapters of a mixed batch on a CPU: exact widths, padded, or all in one product",
    "studies.launches": "how many kernel launches a batch needs on a GPU, as it is and recorded",
    "studies.lowered": "accuracy and time of bfloat16 products on a CPU, for every bundled task",
    "studies.int8": "accuracy, time and size of an int8 backbone, for every bundled task",
    "studies.draft": "a large JPEG decoded at a fraction of its size: time and answers",
    "studies.compiling": "latency of requests while kernels are compiled beside them",
    "studies.pruned": "forward pass of a pruned adapter against its cycle 0 and against spread neurons",
    "studies.heads": "heads in closed form, and how good a class is that was added without the old images",
    "studies.bits": "accuracy and bytes of every bundled task in 1 to 8 bits a weight",
    "studies.scoring": "time of the unknown score, as a share of a forward pass",
    "studies.residency": "start with many tasks, loading times, memory, and what an eviction policy keeps",
}


def main(arguments: Sequence[str]) -> int:
    """Hand the rest of the command line to the benchmark that its first word names."""
    name, *rest = arguments or ["--help"]
    if name not in BENCHMARKS:
        width = max(map(len, BENCHMARKS))
        print("usage: python -m benchmarks NAME [options]   (NAME --help lists the options)\n")
        print("\n".join(f"  {known:{width}}  {what}" for known, what in BENCHMARKS.items()))
        print("\nStress tests: python -m tests.stress")
        return 0 if name in ("-h", "--help") else 2
    done: int = import_module(f"benchmarks.{name}").main(rest)
    return done


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

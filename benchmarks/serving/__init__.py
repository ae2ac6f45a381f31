"""HTTP serving against other servers and against the engine alone; see `run`."""

from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Measure, write the JSON file, print the table."""
    from benchmarks.serving.run import main as run  # noqa: PLC0415 - peers import this package without our web stack

    return run(arguments)

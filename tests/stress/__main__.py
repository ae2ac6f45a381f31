"""Runs one stress test by name, or lists them.

    python -m tests.stress kills --json kills.json

Each stress test is a module of this folder with a `main(arguments) -> int`, which is 0 if nothing went wrong.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

STRESS = {
    "kills": "kill -9 while a store publishes: nothing acknowledged is lost",
    "swaps": "what is live changes every second: no answer is lost or wrong",
    "storm": "uploads, deletions and predictions of one task by many threads at once",
    "drains": "SIGTERM under traffic, many times: no answer is lost",
    "generated": "attacks changed at random: none is answered with 500",
    "torture": "attacks on a real server beside good traffic, and the seventeen promises",
    "damage": "a start over a store of which a tenth is damaged",
    "flat": "memory of a server under many requests",
    "supervised": "an engine that dies or hangs: how soon the server is ready again",
    "rolling": "a rolling restart behind nginx, under load: nothing fails",
    "cluster": "Ray Serve under load: a second replica, one that is killed, a rolling update: nothing fails",
    "mutants": "small faults put into the checks: do the tests bite?",
    "soak": "a long run with swaps, many tasks and cancellations: no wrong answer, flat memory",
}


def main(arguments: Sequence[str]) -> int:
    """Hand the rest of the command line to the stress test that its first word names."""
    name, *rest = arguments or ["--help"]
    if name not in STRESS:
        print("usage: python -m tests.stress NAME [options]   (NAME --help lists the options)\n")
        print("\n".join(f"  {known:11} {what}" for known, what in STRESS.items()))
        return 0 if name in ("-h", "--help") else 2
    done: int = import_module(f"tests.stress.{name}").main(rest)
    return done


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

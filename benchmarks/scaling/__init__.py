"""The plan past one machine: formulas, a simulation, and their check against replicas that run here.

    python -m benchmarks scaling plan --json plan.json          # seconds; computes docs/scaling.md's tables
    python -m benchmarks scaling replicas --json replicas.json  # one and two real replicas of one core each

model        times, formulas, cost
simulation   the same by discrete events
measured     real replicas, each on a core of its own
command      the command line
"""

from benchmarks.scaling.command import main

__all__ = ["main"]

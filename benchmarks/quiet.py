"""Whether a machine is quiet enough to be measured: its load just before, and the share of other processes meanwhile.

Reads /proc; if there is none, only the load average is known.
"""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MOST_LOAD = 0.5  # 1-minute load average for each core
MOST_SHARE = 0.1  # of all cores' time, used by others
WATCHED_SECONDS = 3.0
_STAT = Path("/proc/stat")


class LoadedError(Exception):
    """The machine is too busy to be measured."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """CPU time so far, in clock ticks: of all cores, of busy cores, and of our own processes."""

    total: int
    busy: int
    ours: int


def ticks(pids: Iterable[int] = ()) -> Ticks | None:
    """The ticks now. `pids` and this process count as ours. None if there is no /proc."""
    try:
        fields = [int(field) for field in _STAT.read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9]]
    except OSError:
        return None
    idle = fields[3] + fields[4]  # idle and waiting for a disk
    return Ticks(sum(fields), sum(fields) - idle, sum(map(_of_process, {os.getpid(), *pids})))


def _of_process(pid: int) -> int:
    """User and system time of a process and of its ended children; 0 if the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0
    return sum(int(field) for field in text.rpartition(")")[2].split()[11:15])


def share_of_others(before: Ticks | None, after: Ticks | None) -> float | None:
    """The share of all cores' time between `before` and `after` that other processes used."""
    if before is None or after is None or after.total <= before.total:
        return None
    foreign = (after.busy - before.busy) - (after.ours - before.ours)
    return max(0.0, foreign / (after.total - before.total))


def verdict(load: float, cores: int, share: float | None) -> str | None:
    """Why the machine is too busy, or None if it is not."""
    if load > MOST_LOAD * cores:
        return f"the load average is {load:.2f} on {cores} cores; at most {MOST_LOAD * cores:.2f} is quiet"
    if share is not None and share > MOST_SHARE:
        return f"other processes use {share:.0%} of the processor; at most {MOST_SHARE:.0%} is quiet"
    return None


def check(*, seconds: float = WATCHED_SECONDS) -> None:
    """Watch the machine for a few seconds.

    Raises:
        LoadedError: it is too busy.
    """
    before = ticks()
    time.sleep(seconds)
    why = verdict(os.getloadavg()[0], os.cpu_count() or 1, share_of_others(before, ticks()))
    if why:
        raise LoadedError(why)

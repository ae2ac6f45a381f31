"""Which peers may be timed: those that compute what ours computes. The others are noted as wrong, and never timed."""

import numpy as np

from benchmarks.engine.bench import Found
from benchmarks.engine.equality import UnequalError, check_equal
from benchmarks.engine.pipe import Worker

Pairs = dict[str, tuple[np.ndarray, np.ndarray]]  # by what they are: what it must be, what it is


def is_equal(who: str, worker: Worker, pairs: Pairs, found: Found) -> bool:
    """Note a peer as measured, or as wrong where any pair differs."""
    try:
        far = {what: check_equal(*pair, who=f"{who}, {what}") for what, pair in pairs.items()}
    except UnequalError as error:
        found.fail(who, str(error))
        return False
    found.peers[who] = {"state": "measured", "difference": far, "versions": worker.versions, "facts": worker.facts}
    return True


def reason(found: Found, who: str) -> str:
    """Why a peer has no times."""
    return str(found.peers.get(who, {}).get("reason", "not measured"))

"""Whether contestants computed the same thing: times of different answers are not comparable."""

import numpy as np

TOLERANCE = 1e-4  # relative to max(1, max |reference|)


class UnequalError(Exception):
    """A contestant gives other answers than ours."""


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest absolute difference, relative to max(1, max |ours|); infinite where shapes or finiteness differ."""
    if ours.shape != theirs.shape or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return float("inf")
    if ours.size == 0:
        raise ValueError("nothing to compare")
    return float(np.abs(ours - theirs).max() / max(1.0, float(np.abs(ours).max())))


def check_equal(ours: np.ndarray, theirs: np.ndarray, *, who: str) -> float:
    """The difference, where it is small enough.

    Raises:
        UnequalError: it is not; names who and by how much.
    """
    found = difference(ours, theirs)
    if not found <= TOLERANCE:  # not `>`: NaN must fail
        shapes = f", shapes {ours.shape} and {theirs.shape}" if ours.shape != theirs.shape else ""
        raise UnequalError(f"{who} computes something else: relative difference {found:.3g}{shapes}")
    return found

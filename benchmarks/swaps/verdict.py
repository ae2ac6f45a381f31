"""Which answers should not have been given, and how long the others took. Pure functions of what was written down."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import inf

import numpy as np

from benchmarks.swaps.changes import Change
from benchmarks.swaps.clients import Log, Seen

_MILLI = 1e3

Spans = Mapping[int, Sequence[tuple[float, float]]]  # version -> from when until when it may have been live


def verdict(logs: Sequence[Log], history: Sequence[Change], files: Mapping[int, str]) -> dict[str, object]:
    """What went wrong; every figure but the first should be zero.

    Args:
        logs: of all clients.
        history: all changes, in their order.
        files: the SHA-256 of each version that was published.

    Returns:
        versions_seen: how many versions answered.
        refused: answers that were none, by kind.
        not_live: answers of a version that was live at no moment from sending the request to reading its answer.
        torn: answers whose numbers are not those of the file that they name, or whose file is another version's.
        harm: all of these together.
    """
    seen = [each for log in logs for each in log.seen]
    refused = sum((log.refused for log in logs), Counter[str]())
    when = spans(history)
    not_live = sum(not may_have_answered(each, when) for each in seen)
    torn = sum(not each.whole or files.get(each.version) != each.sha256 for each in seen)
    return {
        "versions_seen": len({each.version for each in seen}),
        "refused": dict(refused),
        "not_live": not_live,
        "torn": torn,
        "harm": refused.total() + not_live + torn,
    }


def spans(history: Sequence[Change]) -> Spans:
    """From when until when each version may have been live.

    A change comes into force somewhere between its sending and its answer. So what it made live may have been so from
    its sending on, until the change after it was answered, and not one moment longer.
    """
    found: dict[int, list[tuple[float, float]]] = defaultdict(list)
    ends = [*(change.answered for change in history[1:]), inf]
    for change, end in zip(history, ends, strict=True):
        for version in change.live:
            found[version].append((change.sent, end))
    return found


def may_have_answered(seen: Seen, when: Spans) -> bool:
    """Whether the version may have been live at one moment between the request's sending and its answer."""
    return any(begin <= seen.answered and seen.sent <= end for begin, end in when.get(seen.version, ()))


def latencies(seen: Sequence[Seen]) -> dict[str, float]:
    """Times from sending to answer in milliseconds; empty where there was no answer."""
    if not seen:
        return {}
    taken = np.array([each.answered - each.sent for each in seen]) * _MILLI
    return dict(zip(("p50", "p95", "p99", "max"), np.percentile(taken, (50, 95, 99, 100)).tolist(), strict=True))


def gap(seen: Sequence[Seen]) -> float:
    """The longest time in which no client got an answer, in milliseconds."""
    moments = np.sort([each.answered for each in seen])
    return float(np.diff(moments).max(initial=0.0)) * _MILLI

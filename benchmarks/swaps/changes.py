"""One change after the other of what is live, each with the moments between which it came into force."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle

import numpy as np

from benchmarks.swaps.material import TASK, Material
from service.client import Client
from service.schemas import AliasAnswer

_KEPT = 6  # versions; older ones are deleted, unless something may still point at them
_MILLI = 1e3


@dataclass(frozen=True, slots=True)
class Change:
    """What is live after a change; it came into force at a moment that nobody knows, from `sent` to `answered`."""

    kind: str
    sent: float  # monotonic seconds, as is the next
    answered: float
    live: frozenset[int]


class Swapper:
    """Changes what is live, on one connection, and remembers. Any refusal ends it: no change here may fail."""

    def __init__(self, client: Client, material: Material, *, seed: int = 0) -> None:
        """Publish the first version."""
        self._client, self._files, self._dice = client, material.files(), random.Random(seed)
        self._versions: list[int] = []
        self._deleted = 0
        self.history: list[Change] = []
        self.files: dict[int, str] = {}  # SHA-256 of each version
        self._do("upload", self._upload)

    def run(self, seconds: float, period: float) -> None:
        """Change something every `period` seconds, or as soon as the change before has been made."""
        start = time.monotonic()
        kinds = {"upload": self._upload, "alias": self._alias, "canary": self._canary, "rollback": self._roll_back}
        for number, (kind, change) in enumerate(cycle(kinds.items())):
            due = start + number * period
            if max(due, time.monotonic()) >= start + seconds:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            self._do(kind, change)
            self._tidy()

    def report(self) -> dict[str, object]:
        """How many changes there were, of which kinds, and how long each took to be in force."""
        took = [change.answered - change.sent for change in self.history]
        shares = dict(zip(("p50", "p99", "max"), np.percentile(took, (50, 99, 100)).tolist(), strict=True))
        return {
            "changes": dict(Counter(change.kind for change in self.history)),
            "deleted_versions": self._deleted,
            "change_ms": {name: seconds * _MILLI for name, seconds in shares.items()},
        }

    def _do(self, kind: str, change: Callable[[], frozenset[int]]) -> None:
        sent = time.monotonic()
        live = change()
        self.history.append(Change(kind, sent, time.monotonic(), live))

    def _upload(self) -> frozenset[int]:
        answer = self._client.upload(TASK, next(self._files))
        self._versions.append(answer.version)
        self.files[answer.version] = answer.sha256
        return frozenset({answer.version})

    def _alias(self) -> frozenset[int]:
        live = self.history[-1].live
        others = [version for version in self._versions if version not in live]
        return _live(self._client.set_alias(TASK, "live", self._dice.choice(others or self._versions)))

    def _canary(self) -> frozenset[int]:
        chosen = self._dice.sample(self._versions, min(2, len(self._versions)))
        return _live(self._client.set_alias(TASK, "live", dict.fromkeys(chosen, 0.5)))

    def _roll_back(self) -> frozenset[int]:
        return _live(self._client.rollback(TASK))

    def _tidy(self) -> None:
        """Delete the oldest versions; those of the last two targets stay, as a rollback may return to them."""
        needed = frozenset().union(*(change.live for change in self.history[-2:]))
        spare = [version for version in self._versions if version not in needed]
        for version in spare[: max(0, len(self._versions) - _KEPT)]:
            self._client.delete_version(TASK, version)
            self._versions.remove(version)
            self._deleted += 1


def _live(answer: AliasAnswer) -> frozenset[int]:
    return frozenset(int(version) for version, share in answer.weights.items() if share)

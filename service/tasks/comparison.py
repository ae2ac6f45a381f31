"""The changes of a task's new file against the version that answers now, as far as both say it themselves.

Each difference that somebody may not want is one sentence. Nothing is measured here: a server has no test images.
"""

from collections.abc import Sequence

from adapters_store import Manifest
from adapters_store.answers import SOFTMAX
from adapters_store.strict_json import shown

METRICS = ("test_top1", "test_map", "validation_top1", "validation_map")  # the first that both files have counts
_NAMED = 3  # labels in a sentence


def warnings_of(new: Manifest, live: Manifest) -> list[str]:
    """Everything that a client of the live version would notice, or would be worse off by."""
    return [*_accuracy(new, live), *_labels(new, live), *_answers(new, live)]


def _accuracy(new: Manifest, live: Manifest) -> list[str]:
    now, before = new.provenance, live.provenance
    metric = next((name for name in METRICS if name in now.metrics and name in before.metrics), None)
    if metric is None or now.metrics[metric] >= before.metrics[metric]:
        return []
    found = f"{metric} is {now.metrics[metric]:.4f}, that of the live version is {before.metrics[metric]:.4f}"
    return [found if now.dataset == before.dataset else f"{found}; they are of different data sets"]


def _labels(new: Manifest, live: Manifest) -> list[str]:
    now, before = set(new.labels), set(live.labels)
    found = [
        f"{len(labels)} labels are {what}: {_shown(labels)}"
        for what, labels in (("gone", sorted(before - now)), ("new", sorted(now - before)))
        if labels
    ]
    return found or ([] if new.labels == live.labels else ["the labels have other indices"])


def _shown(labels: Sequence[str]) -> str:
    more = ", …" if len(labels) > _NAMED else ""
    return ", ".join(shown(label) for label in labels[:_NAMED]) + more


def _answers(new: Manifest, live: Manifest) -> list[str]:
    if _activation(new) != _activation(live):
        return [f"answers are {_activation(new)}, those of the live version are {_activation(live)}"]
    if new.answers is None and live.answers is not None:
        return ["the file does not say how its answers are read, the live version does"]
    return []


def _activation(manifest: Manifest) -> str:
    return manifest.answers.activation if manifest.answers else SOFTMAX

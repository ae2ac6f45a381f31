"""What is checked of an upload, in words: each check by its name, in the order in which they are made.

The checks themselves lie with what they are about; here they get their names, and an error the name of its check.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from adapters_store import errors as artifact
from adapters_store.store_errors import StaleGeneration
from service import errors as own
from service.engine import errors as engine

GENERATION, CHECKSUM, GOLDEN = "generation", "checksum", "golden sample"
NAMES = (GENERATION, CHECKSUM, "container", "manifest", "tensors", "backbone", "preprocessing", "shapes", GOLDEN)
PASSED, SKIPPED = "passed", "skipped"

_FAILED_BY: Mapping[type[Exception], str] = {
    StaleGeneration: GENERATION,
    own.ChecksumMismatch: CHECKSUM,
    artifact.NotSafetensors: "container",
    artifact.FileTooLarge: "container",
    artifact.BrokenFile: "container",
    artifact.BadManifest: "manifest",
    artifact.BadTensors: "tensors",
    engine.BackboneMismatch: "backbone",
    engine.PreprocessingMismatch: "preprocessing",
    engine.WidthMismatch: "shapes",
    engine.FeatureMismatch: "shapes",
    engine.GoldenError: GOLDEN,
}


@dataclass(frozen=True, slots=True)
class Check:
    """One check and how it ended: passed, or skipped with the reason in `detail`."""

    name: str
    outcome: str = PASSED
    detail: str = ""


def passed(details: Mapping[str, str], skipped: Mapping[str, str]) -> tuple[Check, ...]:
    """All checks of an upload that went well.

    Args:
        details: what there is to say of a check, by its name.
        skipped: why a check was not made, by its name.
    """
    return tuple(
        Check(name, SKIPPED, skipped[name]) if name in skipped else Check(name, PASSED, details.get(name, ""))
        for name in NAMES
    )


@contextmanager
def naming_the_failed() -> Iterator[None]:
    """Give an error that ends a check a note which names that check."""
    try:
        yield
    except Exception as error:
        failed = next((_FAILED_BY[base] for base in type(error).__mro__ if base in _FAILED_BY), None)
        if failed is not None:
            error.add_note(f"The check that failed is: {failed}")
        raise

"""Uploading a task adapter file: checked completely, then published and taken over, as far as the upload asks for it.

What is refused leaves no trace, in the store or in the engine. Knows no HTTP; belongs to the registry's thread.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from adapters_store import State, Store, TaskAdapter, VersionInfo, digest, unpack
from adapters_store import errors as artifact
from adapters_store.commands import find_version
from adapters_store.errors import StaleGeneration
from service import errors as own
from service.checksums import Checksums
from service.engine import Engine, GoldenCheck
from service.engine import errors as engine
from service.tasks.conditions import Condition
from service.tasks.registry import Registry
from service.tasks.table import ALIAS

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


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that a task should have, and on what terms.

    Attributes:
        task: its id.
        data: the bytes of a task adapter file.
        condition: what must be true of the task.
        checksums: what the client said of the bytes.
        activate: whether the live alias shall point at it.
        dry_run: check everything, publish nothing.
    """

    task: str
    data: bytes
    condition: Condition = field(default_factory=Condition)
    checksums: Checksums = field(default_factory=Checksums)
    activate: bool = True
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What an upload led to; after a dry run, what it would lead to.

    Attributes:
        version: the number of the version that has these bytes.
        sha256: of the bytes.
        created: False where the task had these bytes already.
        generation: of the task; after a dry run the present one, 0 where there is no such task.
        golden: how far the recomputed golden sample is from the file's.
        checks: what was checked.
    """

    version: int
    sha256: str
    created: bool
    generation: int
    golden: GoldenCheck
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Checked:
    """A file that may be published, and what was found out on the way."""

    sha256: str
    adapter: TaskAdapter
    golden: GoldenCheck
    had_checksum: bool
    expected: int | None  # generation


class Uploader:
    """Takes task adapter files into a store, and has a registry follow at once."""

    def __init__(self, store: Store, engine: Engine, registry: Registry) -> None:
        self._store, self._engine, self._registry = store, engine, registry

    def upload(self, upload: Upload) -> Uploaded:
        """Check a file, publish it, and let it answer.

        Raises:
            StaleGeneration: the task is not as the upload expects it; nothing was published, as with all errors here.
            ChecksumMismatch, ArtifactError, AdmissionError, GoldenError: the file was refused.
            StoreError: it could not be kept.
        """
        state = self._store.snapshot()
        with naming_the_failed():
            checked = self._check(upload, state)
            publish = self._preview if upload.dry_run else self._publish
            version, generation, created = publish(upload, checked, state)
        report = _report(upload, checked)
        return Uploaded(version, checked.sha256, created, generation, checked.golden, report)

    def _check(self, upload: Upload, state: State) -> _Checked:
        expected = upload.condition.expected(upload.task, state.task_generation(upload.task))
        sha256 = digest(upload.data)
        had_checksum = upload.checksums.verify(sha256)
        adapter = unpack(upload.data)
        return _Checked(sha256, adapter, self._engine.verify(adapter), had_checksum, expected)

    def _preview(self, upload: Upload, checked: _Checked, state: State) -> tuple[int, int, bool]:
        known = find_version(state, upload.task, checked.sha256)
        version = known.version if known else state.last_version(upload.task) + 1
        return version, state.task_generation(upload.task), known is None

    def _publish(self, upload: Upload, checked: _Checked, _: State) -> tuple[int, int, bool]:
        alias = ALIAS if upload.activate else None
        try:
            if upload.activate:  # before anything points to it: the first request finds it resident
                self._engine.admit(checked.adapter, checked.sha256)
            published = self._store.publish(upload.task, upload.data, alias=alias, expected_generation=checked.expected)
            self._registry.sync()
        finally:
            self._registry.release([checked.sha256])
        info: VersionInfo = published.version
        logger.info("published task %s version %d, sha256 %s", upload.task, info.version, checked.sha256)
        return info.version, published.generation, published.created


def _report(upload: Upload, checked: _Checked) -> tuple[Check, ...]:
    golden, skipped = checked.golden, {}
    if not upload.condition.given:
        skipped[GENERATION] = "no If-Match came with the file"
    if not checked.had_checksum:
        skipped[CHECKSUM] = "no checksum came with the file"
    details = {GOLDEN: f"logits differ by {golden.reference:.2g}, allowed are {golden.tolerance:.2g}"}
    return passed(details, skipped)

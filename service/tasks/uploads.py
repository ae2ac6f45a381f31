"""Uploads of task adapter files. A file is checked completely, then published and served.

A refused upload leaves no trace in the store or in the engine. Knows no HTTP; belongs to the registry's thread.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from adapters_store import AdaptersStoreError, Manifest, Published, State, Store, VersionInfo, digest, unpack
from adapters_store.commands import find_version
from adapters_store.container import LENGTH_BYTES
from adapters_store.errors import HeaderTooLarge, StaleGeneration
from adapters_store.limits import DEFAULT_LIMITS
from service.engine import Engine, GoldenCheck, Resident
from service.errors import RefusedByWarnings
from service.inputs.checksums import Checksums
from service.tasks.catalogue import answering
from service.tasks.comparison import warnings_of
from service.tasks.conditions import Condition
from service.tasks.registry import Registry
from service.tasks.table import ALIAS

GENERATION, CHECKSUM, GOLDEN = "generation", "checksum", "golden sample"
PASSED, SKIPPED = "passed", "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One check and how it ended: passed, or skipped with the reason in `detail`."""

    name: str
    outcome: str = PASSED
    detail: str = ""


class CheckList:
    """The checks of one upload, recorded by the code that runs them."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Run a check inside; an error gets a note with the name of the check."""
        try:
            yield
        except Exception as error:
            self.failed(name, error)
            raise
        self._checks[name] = Check(name)

    def failed(self, name: str, error: Exception) -> None:
        """Give an error a note that names the check it has failed."""
        error.add_note(f"The check that failed is: {name}")

    def skip(self, name: str, reason: str) -> None:
        """Note that a check was not run."""
        self._checks[name] = Check(name, SKIPPED, reason)

    def describe(self, name: str, detail: str) -> None:
        """Add what a check has found."""
        self._checks[name] = replace(self._checks[name], detail=detail)

    def done(self) -> tuple[Check, ...]:
        """All checks, in the order in which they were run."""
        return tuple(self._checks.values())


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that a task should have, and on what terms.

    Attributes:
        task: its id.
        data: the bytes of the task adapter file.
        condition: what must be true of the task.
        checksums: those that the client sent.
        activate: whether the alias `live` then points at it.
        dry_run: check everything, publish nothing.
        strict: refuse it where there is a warning.
    """

    task: str
    data: bytes
    condition: Condition = field(default_factory=Condition)
    checksums: Checksums = field(default_factory=Checksums)
    activate: bool = True
    dry_run: bool = False
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The result of an upload, or of a dry run.

    Attributes:
        version: the number of the version that has these bytes.
        sha256: of the bytes.
        created: False if the task had these bytes already.
        generation: of the task; after a dry run the present one, 0 if there is no such task.
        golden: how far the recomputed golden sample is from the file's.
        checks: what was checked.
        warnings: what is worse or different than in the version that answers now, in sentences.
    """

    version: int
    sha256: str
    created: bool
    generation: int
    golden: GoldenCheck
    checks: tuple[Check, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Checked:
    """A file that may be published."""

    sha256: str
    resident: Resident
    golden: GoldenCheck
    expected: int | None  # generation
    warnings: tuple[str, ...]


def check_beginning(first: bytes, file_bytes: int) -> None:
    """Judge a file of at most `file_bytes` by its first bytes, while the rest is on its way.

    Raises:
        HeaderTooLarge: its header is longer than any that would be read.
    """
    length = int.from_bytes(first[:LENGTH_BYTES], "little")
    if first[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{" and length > (cap := DEFAULT_LIMITS.header_cap(file_bytes)):
        with CheckList()("container"):
            raise HeaderTooLarge(f"a header of {length} bytes, at most {cap} are read")


class Uploader:
    """Checks task adapter files, publishes them, and makes the registry follow at once."""

    def __init__(self, store: Store, engine: Engine, registry: Registry) -> None:
        self._store, self._engine, self._registry = store, engine, registry

    def upload(self, upload: Upload) -> Uploaded:
        """Check a file, publish it, and let it answer.

        Raises:
            StaleGeneration: the task is not as the upload expects it; nothing was published, as with all errors here.
            ChecksumMismatch, ArtifactError, AdmissionError, GoldenError: the file was refused.
            RefusedByWarnings: it is sound, and the upload asked for a refusal where there is a warning.
            StoreError: it could not be kept.
        """
        state, checks = self._store.snapshot(), CheckList()
        checked = self._check(upload, state, checks)
        if upload.dry_run:
            version, generation, created = self._preview(upload, checked, state)
        else:
            version, generation, created = self._publish(upload, checked, checks)
        return Uploaded(
            version, checked.sha256, created, generation, checked.golden, checks.done(), warnings=checked.warnings
        )

    def _check(self, upload: Upload, state: State, checks: CheckList) -> _Checked:
        expected, sha256 = None, digest(upload.data)
        if upload.condition.given:
            with checks(GENERATION):
                expected = upload.condition.expected(upload.task, state.task_generation(upload.task))
        else:
            checks.skip(GENERATION, "no If-Match came with the file")
        if upload.checksums.claims:
            with checks(CHECKSUM):
                upload.checksums.verify(sha256)
        else:
            checks.skip(CHECKSUM, "no checksum came with the file")
        adapter = unpack(upload.data, step=checks)
        resident = self._engine.weights_of(adapter, sha256, step=checks)
        golden = self._engine.verify(adapter, resident, step=checks)
        checks.describe(GOLDEN, f"logits differ by {golden.reference:.2g}, allowed are {golden.tolerance:.2g}")
        warnings = self._warnings(upload.task, adapter.manifest, state)
        if warnings and upload.strict:
            raise RefusedByWarnings("; ".join(warnings))
        return _Checked(sha256, resident, golden, expected, warnings)

    def _warnings(self, task: str, new: Manifest, state: State) -> tuple[str, ...]:
        """The differences from the version that answers now; nothing where there is none, or it is damaged."""
        info = answering(state.tasks[task]) if task in state.tasks else None
        if info is None:
            return ()
        try:
            return tuple(warnings_of(new, unpack(self._store.read(info.sha256)).manifest))
        except AdaptersStoreError as error:
            logger.warning("the live version of %s cannot be compared with: %s", task, type(error).__name__)
            return ()

    def _preview(self, upload: Upload, checked: _Checked, state: State) -> tuple[int, int, bool]:
        known = find_version(state, upload.task, checked.sha256)
        version = known.version if known else state.last_version(upload.task) + 1
        return version, state.task_generation(upload.task), known is None

    def _publish(self, upload: Upload, checked: _Checked, checks: CheckList) -> tuple[int, int, bool]:
        try:
            if upload.activate:  # before any alias points at it, so that the first request finds it resident
                self._engine.load(checked.sha256, lambda: checked.resident)
            published = self._put(upload, checked.expected, checks)
            self._registry.sync()
        finally:
            self._registry.release([checked.sha256])
        info: VersionInfo = published.version
        logger.info("published task %s version %d, sha256 %s", upload.task, info.version, checked.sha256)
        return info.version, published.generation, published.created

    def _put(self, upload: Upload, expected: int | None, checks: CheckList) -> Published:
        """Write the file; the store checks the generation once more, in the transaction that writes."""
        alias = ALIAS if upload.activate else None
        try:
            return self._store.publish(upload.task, upload.data, alias=alias, expected_generation=expected)
        except StaleGeneration as error:
            checks.failed(GENERATION, error)
            raise

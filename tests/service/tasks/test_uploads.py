"""Uploads: named checks, dry runs, preconditions; a refused file leaves no trace."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from adapters_store import Store, TaskAdapter, open_store, pack
from adapters_store.artifact import Step
from adapters_store.errors import NotSafetensors, StaleGeneration, StoreFull, TruncatedFile
from service.engine import BackboneMismatch, Engine, GoldenCheck, GoldenMismatch, PreprocessingMismatch, Resident
from service.errors import ChecksumMismatch, RefusedByWarnings, UnknownTask
from service.inputs.checksums import Checksums
from service.problems import answer_to
from service.tasks.conditions import Condition
from service.tasks.loads import Loads
from service.tasks.registry import Registry
from service.tasks.uploads import Upload, Uploader
from tests.service.adapters import Made, bundled_backbone, make
from tests.service.misfits import other_backbone, other_preprocessing, wrong_golden

ONE, TWO = make(20), make(21, classes=6)

CHECKS = ["generation", "checksum", "container", "manifest", "tensors"]
CHECKS += ["backbone", "preprocessing", "shapes", "golden sample"]


@pytest.fixture
def store() -> Iterator[Store]:
    with closing(open_store("memory://")) as store:
        yield store


@pytest.fixture
def engine() -> Engine:
    return Engine(bundled_backbone())


@pytest.fixture
def registry(store: Store, engine: Engine) -> Registry:
    return Registry(store, engine, Loads(store, engine))


@pytest.fixture
def uploader(store: Store, engine: Engine, registry: Registry) -> Uploader:
    return Uploader(store, engine, registry)


def test_an_upload_is_live_when_it_returns(uploader: Uploader, registry: Registry, engine: Engine) -> None:
    uploaded = uploader.upload(Upload("cats", ONE.data))
    served = registry.resolve("cats")
    assert (uploaded.created, uploaded.version, served.info.sha256) == (True, 1, ONE.sha256)
    assert (uploaded.generation, engine.usage().tasks) == (1, 1)


def test_known_bytes_make_their_version_live_again(uploader: Uploader, registry: Registry) -> None:
    for made in (ONE, TWO):
        uploader.upload(Upload("cats", made.data))
    again = uploader.upload(Upload("cats", ONE.data))
    assert (again.created, again.version, registry.resolve("cats").info.version) == (False, 1, 1)


def test_every_check_is_named_with_its_outcome(uploader: Uploader) -> None:
    plain = uploader.upload(Upload("cats", ONE.data)).checks
    assert [check.name for check in plain] == [
        "generation",
        "checksum",
        "container",
        "manifest",
        "tensors",
        "backbone",
        "preprocessing",
        "shapes",
        "golden sample",
    ]
    assert [check.name for check in plain if check.outcome == "skipped"] == ["generation", "checksum"]
    checksums = Checksums(frozenset({bytes.fromhex(TWO.sha256)}))
    full = uploader.upload(Upload("cats", TWO.data, Condition(frozenset({1})), checksums)).checks
    assert {check.outcome for check in full} == {"passed"}


def test_a_dry_run_tells_what_would_be_and_does_nothing(uploader: Uploader, store: Store, engine: Engine) -> None:
    would = uploader.upload(Upload("cats", ONE.data, dry_run=True))
    assert (would.version, would.created, would.generation) == (1, True, 0)
    uploader.upload(Upload("cats", ONE.data))
    before = store.snapshot(), engine.usage()
    runs = [uploader.upload(Upload("cats", made.data, dry_run=True)) for made in (ONE, TWO)]
    assert [(run.version, run.created, run.generation) for run in runs] == [(1, False, 1), (2, True, 1)]
    assert (store.snapshot(), engine.usage()) == before


def test_an_upload_that_is_not_activated_changes_no_answer(
    uploader: Uploader, registry: Registry, engine: Engine
) -> None:
    uploader.upload(Upload("cats", ONE.data))
    uploaded = uploader.upload(Upload("cats", TWO.data, activate=False))
    assert (uploaded.version, registry.resolve("cats").info.version, engine.usage().tasks) == (2, 1, 1)


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_condition_that_does_not_hold_refuses_the_upload(uploader: Uploader, store: Store, dry_run: bool) -> None:
    uploader.upload(Upload("cats", ONE.data))
    for condition in (Condition(frozenset({9})), Condition(exists=False)):
        with pytest.raises(StaleGeneration):
            uploader.upload(Upload("cats", TWO.data, condition, dry_run=dry_run))
    assert store.snapshot().generation == 1


def test_a_race_that_is_lost_while_the_file_is_checked_is_noticed(
    uploader: Uploader, store: Store, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.publish("cats", b"1")
    verify = engine.verify

    def slow(adapter: TaskAdapter, resident: Resident, *, step: Step) -> GoldenCheck:
        store.publish("cats", b"2")
        return verify(adapter, resident, step=step)

    monkeypatch.setattr(engine, "verify", slow)
    with pytest.raises(StaleGeneration) as caught:
        uploader.upload(Upload("cats", ONE.data, Condition(frozenset({1}))))
    assert caught.value.__notes__ == ["The check that failed is: generation"]
    assert (store.snapshot().generation, engine.usage().tasks) == (2, 0)


@pytest.mark.parametrize(
    ("data", "error", "check"),
    [
        (lambda: b"PK\x03\x04 a zip", NotSafetensors, "container"),
        (lambda: TWO.data[:-1], TruncatedFile, "container"),
        (lambda: other_backbone(TWO), BackboneMismatch, "backbone"),
        (lambda: other_preprocessing(TWO), PreprocessingMismatch, "preprocessing"),
        (lambda: wrong_golden(TWO), GoldenMismatch, "golden sample"),
    ],
)
def test_a_refused_upload_names_the_check_and_leaves_no_trace(
    uploader: Uploader, store: Store, data: Callable[[], bytes], error: type[Exception], check: str
) -> None:
    uploader.upload(Upload("cats", ONE.data))
    before = store.snapshot()
    with pytest.raises(error) as refused:
        uploader.upload(Upload("cats", data()))
    assert answer_to(refused.value).problem.detail.endswith(f"The check that failed is: {check}")
    assert store.snapshot() == before


def test_a_wrong_checksum_refuses_the_upload(uploader: Uploader, store: Store) -> None:
    with pytest.raises(ChecksumMismatch, match="do not give the checksum"):
        uploader.upload(Upload("cats", ONE.data, checksums=Checksums(frozenset({bytes(32)}))))
    assert store.snapshot().generation == 0


def test_an_upload_that_the_store_cannot_keep_leaves_nothing_resident(
    uploader: Uploader, registry: Registry, store: Store, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreFull("no room")

    monkeypatch.setattr(store, "publish", full)
    with pytest.raises(StoreFull):
        uploader.upload(Upload("cats", ONE.data))
    with pytest.raises(UnknownTask):
        registry.resolve("cats")
    assert engine.usage().tasks == 0


def test_a_check_that_was_not_reached_is_not_reported(uploader: Uploader, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is what was run: whatever an engine does not check is missing from it."""
    monkeypatch.setattr("service.engine.core.check", lambda *_, **__: None)
    names = [check.name for check in uploader.upload(Upload("cats", ONE.data)).checks]
    assert names == [name for name in CHECKS if name not in ("backbone", "preprocessing", "shapes")]


def changed(made: Made, *, labels: tuple[str, ...] | None = None, **metrics: float) -> bytes:
    """The file with other labels, and with these metrics."""
    manifest = made.adapter.manifest
    provenance = replace(manifest.provenance, metrics=metrics)
    manifest = replace(manifest, provenance=provenance, labels=labels or manifest.labels)
    return pack(replace(made.adapter, manifest=manifest))


def test_a_file_that_is_worse_goes_live_with_a_warning_or_not_at_all(uploader: Uploader, registry: Registry) -> None:
    good, bad = changed(ONE, test_top1=0.9, validation_top1=0.5), changed(ONE, test_top1=0.8, validation_top1=0.6)
    assert uploader.upload(Upload("cats", good)).warnings == ()
    with pytest.raises(RefusedByWarnings, match=r"test_top1 is 0\.8000, that of the live version is 0\.9000"):
        uploader.upload(Upload("cats", bad, strict=True))
    assert registry.resolve("cats").info.version == 1
    assert uploader.upload(Upload("cats", bad, dry_run=True)).warnings
    (warning,) = uploader.upload(Upload("cats", bad)).warnings
    assert warning.startswith("test_top1")
    assert registry.resolve("cats").info.version == 2
    assert uploader.upload(Upload("cats", good, strict=True)).warnings == ()


def test_labels_that_come_go_or_move_are_told(uploader: Uploader) -> None:
    uploader.upload(Upload("cats", ONE.data))
    more = uploader.upload(Upload("cats", TWO.data, dry_run=True)).warnings
    assert more == ("2 labels are new: 'class 4', 'class 5'",)
    moved = changed(ONE, labels=tuple(reversed(ONE.adapter.manifest.labels)))
    assert uploader.upload(Upload("cats", moved, dry_run=True)).warnings == ("the labels have other indices",)
    renamed = changed(ONE, labels=("a", "class 1", "class 2", "class 3"))
    found = uploader.upload(Upload("cats", renamed, dry_run=True)).warnings
    assert found == ("1 labels are gone: 'class 0'", "1 labels are new: 'a'")


def test_answers_that_are_read_otherwise_are_told(uploader: Uploader) -> None:
    soft, many = (make(20, activation=activation).data for activation in ("softmax", "sigmoid"))
    uploader.upload(Upload("cats", soft))
    (warning,) = uploader.upload(Upload("cats", many, dry_run=True)).warnings
    assert warning == "answers are sigmoid, those of the live version are softmax"
    (warning,) = uploader.upload(Upload("cats", ONE.data, dry_run=True)).warnings
    assert "does not say how its answers are read" in warning


def test_a_live_version_that_cannot_be_read_hinders_no_upload(uploader: Uploader, store: Store) -> None:
    store.publish("cats", b"no task adapter", alias="live")
    assert uploader.upload(Upload("cats", ONE.data, strict=True)).warnings == ()

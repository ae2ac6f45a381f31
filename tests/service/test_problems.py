"""The table of errors: every error of every layer has its status, and none reveals secrets."""

import inspect
from collections.abc import Iterator
from types import ModuleType

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from adapters_store import errors as store
from backbone import errors as images
from service import errors as own
from service import problems
from service.engine import errors as engine
from service.problems import answer_to, response_to

NEVER_ANSWERED = {own.SettingsError}  # raised before anything listens


def classes(module: ModuleType, root: type[Exception]) -> Iterator[type[Exception]]:
    for _, found in inspect.getmembers(module, inspect.isclass):
        if issubclass(found, root) and found.__module__ == module.__name__ and not found.__subclasses__():
            yield found


EVERY = [
    *(found for found in classes(own, own.ServiceError) if found not in NEVER_ANSWERED),
    *classes(engine, engine.EngineError),
    *classes(images, images.ImageError),
    *classes(store, store.ArtifactError),
    *classes(store, store.StoreError),
]


def instance(kind: type[Exception]) -> Exception:
    """An error without the arguments that its class may ask for."""
    return kind.__new__(kind)


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_and_a_code_of_its_own(kind: type[Exception]) -> None:
    found = answer_to(instance(kind))
    assert found.status != 500
    assert found.problem.code == getattr(kind, "code", found.problem.code)
    assert found.problem.title
    assert found.problem.detail


def test_what_is_in_no_table_is_our_own_bug_and_keeps_its_words() -> None:
    found = answer_to(RuntimeError("/home/secret"))
    assert (found.status, found.problem.code) == (500, "internal_error")
    assert b"secret" not in response_to(RuntimeError("/home/secret")).body


@pytest.mark.parametrize("kind", [store.StoreUnavailable, store.UnexpectedTensor])
def test_files_and_paths_are_never_shown(kind: type[Exception]) -> None:
    assert "secret" not in str(answer_to(kind("/home/secret")).problem)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (own.TaskUnavailable("x"), 503, "task_unavailable"),
        (own.NoLiveVersion("x"), 404, "no_live_version"),
        (own.TaskUnloaded("x"), 409, "task_unloaded"),
        (own.TaskRefused("x"), 409, "task_refused"),
        (own.TaskDamaged("x"), 503, "task_damaged"),
        (own.ConfirmationRequired("x"), 428, "confirmation_required"),
        (engine.QueueFull("x"), 503, "queue_full"),
        (engine.OutOfMemory("x"), 503, "out_of_memory"),
        (MemoryError(), 503, "out_of_memory"),
        (RuntimeError("can't start new thread"), 503, "out_of_memory"),
        (engine.DeadlineExceeded("x"), 504, "deadline_exceeded"),
        (engine.BackboneMismatch("x", expected=1, found=2), 409, "backbone_mismatch"),
        (store.StoreFull("x"), 507, "store_full"),
        (store.StaleGeneration("x", 1, 2), 412, "stale_generation"),
        (own.ChangedMeanwhile("x"), 409, "changed_meanwhile"),
        (HTTPException(405), 405, "method_not_allowed"),
        (RequestValidationError([]), 422, "invalid_request"),
    ],
)
def test_the_table_says_what_it_should(error: Exception, status: int, code: str) -> None:
    found = answer_to(error)
    assert (found.status, found.problem.code) == (status, code)


def test_overload_says_when_to_come_back_and_a_missing_key_how_to_send_one() -> None:
    assert answer_to(engine.QueueFull("x")).headers["Retry-After"] == "1"
    assert answer_to(own.Unauthorized("x")).headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "error",
    [
        own.TaskDamaged("x"),
        own.TaskRefused("x"),
        own.NoLiveVersion("x"),
        store.CorruptBlob("x"),
        store.StoreDamaged("x"),
        store.StoreReadOnly("x"),
        store.StoreFull("x"),
    ],
)
def test_what_lasts_until_somebody_mends_it_gives_no_time_to_ask_again(error: Exception) -> None:
    assert "Retry-After" not in answer_to(error).headers


@pytest.mark.parametrize("error", [own.TaskUnavailable("x"), store.StoreUnavailable("x"), store.StoreReplaced("x")])
def test_what_passes_by_itself_gives_one(error: Exception) -> None:
    assert answer_to(error).headers["Retry-After"] == "1"


def test_the_table_holds_no_class_twice_over() -> None:
    """An entry that says what its base says already could only drift."""
    for kind, status in problems.STATUS.items():
        bases = [problems.STATUS[base] for base in kind.__mro__[1:] if base in problems.STATUS]
        assert not bases or bases[0] != status, kind.__name__

"""How a file says that its answers are read: every way it can be wrong, and files from before that still load."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapters_store import Answers, Known, KnownArrays, TaskAdapter, Validation, digest, errors, pack, unpack
from adapters_store.answers import HIGHEST_RANK, MOST_CELLS, SIGMOID, SOFTMAX
from adapters_store.manifest import write_manifest
from tests.adapters_store.adapters import FEATURES, make_adapter
from tests.adapters_store.raw import GOOD_FILE, split_file, with_manifest

OLD_FILE = Path(__file__).with_name("files") / "digits-version-1.safetensors"
OLD_SHA256 = "223b"
RANK = 2
NOT_A_NUMBER = float("nan")

VALIDATION = Validation(10, (1.0, 0.5), (0.75, 1.0), (0.9, 0.8), ((0, 0, 6), (0, 1, 2), (1, 1, 2)))
ANSWERS = Answers(SOFTMAX, 0.5, (0.25, 0.75), Known(2.0, 0.95, 0.5), VALIDATION)
ARRAYS = KnownArrays(
    mean=np.arange(FEATURES, dtype=np.float32),
    basis=np.eye(RANK, FEATURES, dtype=np.float32),
    factor=np.array([[2, 0], [1, 3]], np.float32),
    centres=np.ones((2, RANK), np.float32),
)


def adapter(answers: Answers = ANSWERS, arrays: KnownArrays | None = ARRAYS, **others: object) -> TaskAdapter:
    plain = make_adapter()
    score = None if arrays is None else np.ones(1, np.float32)
    manifest = replace(plain.manifest, answers=answers)
    return replace(plain, **{"manifest": manifest, "known": arrays, "golden_score": score, **others})  # type: ignore[arg-type]


def test_what_is_written_is_read_back() -> None:
    data = pack(adapter())
    found = unpack(data)
    assert (found.manifest.answers, found.manifest.format_version) == (ANSWERS, 2)
    assert found.known is not None
    assert found.golden_score is not None
    for name, array in found.known._asdict().items():
        np.testing.assert_array_equal(array, getattr(ARRAYS, name))
    assert found.golden_score.tolist() == [1.0]
    assert pack(found) == data


def test_a_task_of_independent_labels_has_one_centre_and_no_confusion_matrix() -> None:
    answers = replace(ANSWERS, activation=SIGMOID, validation=replace(VALIDATION, confusion=()))
    found = unpack(pack(adapter(answers, ARRAYS._replace(centres=ARRAYS.centres[:1]))))
    assert found.manifest.answers == answers


def test_a_file_may_say_how_answers_are_read_and_nothing_of_what_is_known() -> None:
    found = unpack(pack(adapter(replace(ANSWERS, known=None), None)))
    assert found.manifest.answers is not None
    assert (found.manifest.answers.known, found.known, found.golden_score) == (None, None, None)


def test_a_file_of_the_first_version_is_read_and_written_as_before() -> None:
    data = OLD_FILE.read_bytes()
    assert digest(data).startswith(OLD_SHA256)
    old = unpack(data)
    assert (old.manifest.format_version, old.manifest.answers, old.known) == (1, None, None)
    assert pack(old) == data


@pytest.mark.parametrize(("version", "error"), [(1, errors.UnknownField), (5, errors.UnsupportedFormatVersion)])
def test_answers_belong_to_the_second_version(version: int, error: type[errors.BadManifest]) -> None:
    with pytest.raises(error):
        unpack(with_manifest(lambda manifest: manifest.update(format_version=version), pack(adapter())))


@pytest.mark.parametrize("answers", [None, [], 1])
def test_a_file_of_the_second_version_has_answers(answers: object) -> None:
    with pytest.raises(errors.InvalidField):
        unpack(with_manifest(lambda manifest: manifest.update(answers=answers), pack(adapter())))
    with pytest.raises(errors.MissingField):
        unpack(with_manifest(lambda manifest: manifest.update(format_version=2), GOOD_FILE))


def answered(**changes: object) -> Answers:
    return replace(ANSWERS, **changes)  # type: ignore[arg-type]


def known(**changes: float) -> Answers:
    assert ANSWERS.known is not None
    return answered(known=replace(ANSWERS.known, **changes))


def validated(**changes: object) -> Answers:
    return answered(validation=replace(VALIDATION, **changes))  # type: ignore[arg-type]


CONTRADICTIONS: dict[str, Answers] = {
    "an activation that is neither": answered(activation="relu"),
    "no temperature": answered(temperature=0.0),
    "a negative temperature": answered(temperature=-1.0),
    "too cold": answered(temperature=0.0009),
    "too hot": answered(temperature=1000.1),
    "a threshold too few": answered(thresholds=(0.5,)),
    "a threshold too many": answered(thresholds=(0.5, 0.5, 0.5)),
    "a threshold above 1": answered(thresholds=(0.5, 1.1)),
    "a negative threshold": answered(thresholds=(0.5, -0.1)),
    "nothing is known": known(threshold=0.0),
    "a threshold that overflows a score": known(threshold=1e-13),
    "a variance of 0": known(residual_variance=0.0),
    "a variance that overflows": known(residual_variance=1e13),
    "everything is known": known(true_positive_rate=1.0),
    "no image is known": known(true_positive_rate=0.0),
    "a precision too few": validated(precision=(1.0,)),
    "a recall above 1": validated(recall=(0.5, 1.5)),
    "an average precision too many": validated(average_precision=(0.5, 0.5, 0.5)),
    "a cell of two numbers": validated(confusion=((0, 10),)),
    "a class that there is not": validated(confusion=((0, 2, 10),)),
    "a cell of zero": validated(confusion=((0, 0, 10), (0, 1, 0))),
    "cells out of order": validated(confusion=((1, 1, 4), (0, 0, 6))),
    "a cell twice": validated(confusion=((0, 0, 4), (0, 0, 6))),
    "an image that is not counted": validated(confusion=((0, 0, 9),)),
    "a confusion matrix of independent labels": answered(activation=SIGMOID),
}


@pytest.mark.parametrize("answers", CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_a_record_that_contradicts_itself_is_refused(answers: Answers) -> None:
    with pytest.raises(errors.InvalidAnswers):
        pack(adapter(answers))


@pytest.mark.parametrize("temperature", [0.001, 1.0, 1000.0])
def test_temperatures_up_to_the_bounds_are_read(temperature: float) -> None:
    found = unpack(pack(adapter(answered(temperature=temperature)))).manifest.answers
    assert found is not None
    assert found.temperature == temperature


def test_a_confusion_matrix_is_bounded() -> None:
    cells = tuple((row, column, 1) for row in range(65) for column in range(64))
    with pytest.raises(errors.InvalidAnswers, match=str(MOST_CELLS)):
        pack(adapter(validated(confusion=cells, images=len(cells))))


def change(name: str, array: np.ndarray) -> KnownArrays:
    return ARRAYS._replace(**{name: array})


def spoiled(name: str, value: float) -> KnownArrays:
    copy = np.array(getattr(ARRAYS, name))
    copy.flat[0] = value
    return change(name, copy)


TURNED = np.zeros((RANK, FEATURES), np.float32)
TURNED[:, 0] = 1
UNFIT: dict[str, tuple[type[errors.ArtifactError], TaskAdapter]] = {
    "no arrays": (errors.MissingTensor, adapter(arrays=None)),
    "no score": (errors.MissingTensor, adapter(golden_score=None)),
    "arrays without a rule": (errors.UnexpectedTensor, adapter(answered(known=None))),
    "half the arrays": (errors.MixedDtypes, adapter(arrays=change("mean", np.zeros(FEATURES, np.float16)))),
    "bytes": (errors.WrongDtype, adapter(arrays=change("mean", np.zeros(FEATURES, np.uint8)))),
    "a score in half": (errors.WrongDtype, adapter(golden_score=np.ones(1, np.float16))),
    "two scores": (errors.WrongShape, adapter(golden_score=np.ones(2, np.float32))),
    "a mean of rank 2": (errors.WrongShape, adapter(arrays=change("mean", np.zeros((1, FEATURES), np.float32)))),
    "a mean of other features": (errors.WrongShape, adapter(arrays=change("mean", np.zeros(5, np.float32)))),
    "a basis of other features": (errors.WrongShape, adapter(arrays=change("basis", np.eye(2, 5, dtype=np.float32)))),
    "a factor of another rank": (errors.WrongShape, adapter(arrays=change("factor", np.eye(3, dtype=np.float32)))),
    "a centre too many": (errors.WrongShape, adapter(arrays=change("centres", np.zeros((3, RANK), np.float32)))),
    "a centre too few": (errors.WrongShape, adapter(arrays=change("centres", np.zeros((1, RANK), np.float32)))),
    "directions that are not at right angles": (errors.NotOrthonormal, adapter(arrays=change("basis", TURNED))),
    "directions that are no units": (errors.NotOrthonormal, adapter(arrays=change("basis", 2 * ARRAYS.basis))),
    "an upper factor": (errors.NotPositiveDefinite, adapter(arrays=change("factor", ARRAYS.factor.T.copy()))),
    "a factor with a 0": (errors.NotPositiveDefinite, adapter(arrays=spoiled("factor", 0))),
    "a negative factor": (errors.NotPositiveDefinite, adapter(arrays=spoiled("factor", -1))),
    "NaN in the score": (errors.NonFiniteValue, adapter(golden_score=np.array([NOT_A_NUMBER], np.float32))),
    **{
        f"NaN in the {name}": (errors.NonFiniteValue, adapter(arrays=spoiled(name, NOT_A_NUMBER)))
        for name in KnownArrays._fields
    },
}


@pytest.mark.parametrize(("error", "unfit"), UNFIT.values(), ids=UNFIT.keys())
def test_arrays_that_do_not_fit_are_refused_for_their_own_reason(
    error: type[errors.ArtifactError], unfit: TaskAdapter
) -> None:
    with pytest.raises(errors.ArtifactError) as caught:
        pack(unfit)
    assert caught.type is error


def of_rank(rank: int, size: int) -> KnownArrays:
    return KnownArrays(
        np.zeros(size, np.float32),
        np.eye(rank, size, dtype=np.float32),
        np.eye(rank, dtype=np.float32),
        np.zeros((2, rank), np.float32),
    )


def test_the_rank_is_bounded() -> None:
    plain = make_adapter()
    size = HIGHEST_RANK + 1
    wide = replace(
        plain,
        head_weight=np.zeros((2, size), np.float32),
        manifest=replace(
            plain.manifest, answers=ANSWERS, provenance=replace(plain.manifest.provenance, head_parameters=2 * size + 2)
        ),
        golden_score=np.ones(1, np.float32),
    )
    assert unpack(pack(replace(wide, known=of_rank(HIGHEST_RANK, size)))).known is not None
    with pytest.raises(errors.WrongShape):
        pack(replace(wide, known=of_rank(size, size)))


def test_a_manifest_names_its_version_once() -> None:
    text = write_manifest(adapter().manifest)
    assert json.loads(text)["format_version"] == 2
    assert split_file(GOOD_FILE)[0]["__metadata__"]["manifest"].count("format_version") == 1

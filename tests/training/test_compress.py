"""Files in fewer bits: every check of a server holds, classes can still be added, and eight bits answer as before."""

from dataclasses import replace

import numpy as np
import pytest

from adapters_store import unpack
from backbone import load_backbone
from service.engine import Engine
from tests.training.small import small_backbone, small_prepared
from tests.training.test_head import adapted, without
from training.bundled import STORE
from training.calibrate import calibrate
from training.compress import compressed
from training.errors import BadConfig
from training.export import from_file, golden_outputs, with_answers, with_metrics
from training.fit import evaluate, logits_of
from training.head import add_class, head_file, with_statistics
from training.options import MiMiOptions

BACKBONE = small_backbone()
BITS = range(1, 9)


def calibrated() -> bytes:
    """A file that says what is known."""
    prepared = small_prepared()
    data = adapted(prepared, BACKBONE)
    return with_answers(data, calibrate(from_file(data, BACKBONE), prepared), BACKBONE)


@pytest.mark.parametrize("bits", BITS)
def test_the_golden_sample_is_that_of_the_decoded_weights(bits: int) -> None:
    found = unpack(compressed(calibrated(), bits, BACKBONE))
    outputs = golden_outputs(BACKBONE, found)
    assert np.abs(outputs.logits - found.golden_logits).max() < 1e-6
    assert found.golden_score is not None
    again = with_answers(compressed(calibrated(), bits, BACKBONE), None, BACKBONE)
    assert unpack(again).known is None


def test_accuracies_are_dropped_and_what_is_known_stays() -> None:
    data = with_metrics(calibrated(), {"test_top1": 0.5, "validation_top1": 0.5, "learning_rate": 0.01})
    before, found = unpack(data).manifest, unpack(compressed(data, 4, BACKBONE)).manifest
    assert dict(found.provenance.metrics) == {"learning_rate": 0.01}
    assert found.answers == replace(before.answers, validation=None)  # type: ignore[type-var]


def test_fewer_bits_are_fewer_bytes() -> None:
    data = adapted(small_prepared(), BACKBONE)
    sizes = [len(compressed(data, bits, BACKBONE)) for bits in BITS]
    assert sizes == sorted(sizes)
    assert sizes[-1] < len(data)


def test_eight_bits_answer_almost_as_sixteen() -> None:
    prepared, data = small_prepared(), calibrated()
    images = prepared.validation.pixels
    before, after = (logits_of(from_file(each, BACKBONE), images) for each in (data, compressed(data, 8, BACKBONE)))
    assert (before - after).abs().max() < 0.02 * before.abs().max()
    assert 0 <= evaluate(from_file(compressed(data, 1, BACKBONE), BACKBONE), prepared.validation) <= 1


def test_compressing_twice_gives_the_same_bytes() -> None:
    once = compressed(calibrated(), 3, BACKBONE)
    assert compressed(once, 3, BACKBONE) == once


def test_the_golden_image_gets_no_larger_than_asked_for() -> None:
    data = calibrated()
    assert unpack(compressed(data, 8, BACKBONE, side=7)).golden_image.shape == (7, 7, 3)
    assert unpack(compressed(data, 8, BACKBONE)).golden_image.shape == unpack(data).golden_image.shape


@pytest.mark.parametrize(("bits", "side"), [(0, 32), (9, 32), (4, 0), (4, 97)])
def test_other_numbers_are_refused(bits: int, side: int) -> None:
    with pytest.raises(BadConfig):
        compressed(calibrated(), bits, BACKBONE, side=side)


def test_a_class_is_added_to_a_file_of_low_bits() -> None:
    left, new = without(small_prepared(), 2)
    plain = with_statistics(head_file(left, BACKBONE, MiMiOptions()), left, BACKBONE)
    data = with_answers(plain, calibrate(from_file(plain, BACKBONE), left), BACKBONE)
    found = unpack(add_class(compressed(data, 6, BACKBONE), "blue", new, BACKBONE))
    assert found.manifest.labels == ("red", "green", "blue")
    assert found.manifest.low_bit is not None
    outputs = golden_outputs(BACKBONE, found)
    assert np.abs(outputs.logits - found.golden_logits).max() < 1e-4


@pytest.mark.parametrize("task", ["digits", "gtsrb"])
def test_a_server_takes_a_bundled_task_in_few_bits(task: str) -> None:
    backbone = load_backbone()
    engine = Engine(backbone)
    adapter = unpack(compressed((STORE / f"{task}.safetensors").read_bytes(), 2, backbone))
    resident = engine.weights_of(adapter, "0" * 64)
    check = engine.verify(adapter, resident)
    assert check.reference <= check.tolerance

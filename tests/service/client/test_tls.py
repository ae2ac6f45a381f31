"""Over HTTPS the client trusts the given authorities and sends its own certificate."""

import subprocess
from pathlib import Path

import pytest

from mimi.cli import main
from service.client import (
    AsyncClient,
    Client,
    ConnectionFailed,
    InvalidArgument,
    NotConnected,
    RetryPolicy,
    task_calls,
    trusting,
)
from tests.service.client.certificates import Authority, secure_server
from tests.service.client.scripted import blocking

ONCE = RetryPolicy(seconds=20, attempts=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def ours(folder: Path) -> Authority:
    return Authority(folder, "ours")


@pytest.fixture(scope="module")
def certificate(ours: Authority) -> Path:
    return ours.signed("server")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


def ask(address: str, ca: Path | None = None, own: Path | None = None) -> None:
    tls = trusting(ca, certificate=own) if ca or own else None
    with Client(address, tls=tls, policy=ONCE) as client:
        client.send(task_calls.ready())
    with blocking(AsyncClient(address, tls=tls, policy=ONCE)) as waiting:
        waiting.send(task_calls.ready())


def test_a_server_is_trusted_by_an_authority_given_in_a_file(ours: Authority, certificate: Path) -> None:
    with secure_server(certificate) as address:
        ask(address, ours.ca)
        with pytest.raises(NotConnected, match=r"(?i)certificate"):
            ask(address)


def test_a_server_is_trusted_by_the_environments_authority(
    ours: Authority, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ours.ca))
    with secure_server(certificate) as address:
        ask(address)


def test_a_stranger_is_not_trusted(folder: Path, certificate: Path) -> None:
    theirs = Authority(folder, "theirs")
    with secure_server(certificate) as address, pytest.raises(NotConnected, match=r"(?i)certificate"):
        ask(address, theirs.ca)


def test_a_server_that_asks_who_calls_is_told(ours: Authority, certificate: Path) -> None:
    own = ours.signed("caller")
    with secure_server(certificate, asks_for=ours.ca) as address:
        ask(address, ours.ca, own)
        with pytest.raises(ConnectionFailed):
            ask(address, ours.ca)


def test_files_that_cannot_be_used_are_refused(tmp_path: Path, ours: Authority, certificate: Path) -> None:
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    locked = tmp_path / "locked.pem"
    made = ["openssl", "ec", "-in", str(certificate), "-aes256", "-passout", "pass:secret", "-out", str(locked)]
    subprocess.run(made, check=True, capture_output=True)
    for ca, own in (("/nowhere.pem", None), (text, None), (ours.ca, text), (None, "/nowhere.pem")):
        with pytest.raises(InvalidArgument, match="cannot be used"):
            trusting(ca, certificate=own)
    with pytest.raises(InvalidArgument, match="password"):
        trusting(certificate=certificate, certificate_key=locked)


def test_authorities_may_lie_in_a_folder(ours: Authority, certificate: Path, tmp_path: Path) -> None:
    (tmp_path / "ours.pem").write_bytes(ours.ca.read_bytes())
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True, capture_output=True)
    with secure_server(certificate) as address:
        ask(address, tmp_path)


def test_the_environments_file_is_named_when_it_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with pytest.raises(InvalidArgument, match="SSL_CERT_FILE"):
        Client("https://127.0.0.1:1")


def test_publish_takes_the_same_files(
    ours: Authority, certificate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = tmp_path / "pets.safetensors"
    adapter.write_bytes(b"file")
    own = ours.signed("publisher")
    with secure_server(certificate, asks_for=ours.ca) as address:
        words = ["publish", str(adapter), "--url", address]
        assert main([*words, "--ca", str(ours.ca), "--certificate", str(own)]) != 0
        assert "this is no UploadAnswer" in capsys.readouterr().err  # it was reached, and knows no adapters
        assert main(words) != 0
        assert "UploadAnswer" not in capsys.readouterr().err

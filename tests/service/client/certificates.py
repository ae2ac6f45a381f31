"""Certificates of authorities of our own, made when a test asks for them, and a server that shows one."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Authority:
    """Signs certificates for 127.0.0.1; everything lies in one folder, as PEM."""

    def __init__(self, folder: Path, name: str) -> None:
        """Make its own key and certificate, with the `openssl` command."""
        self._folder, self.ca = folder, folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        _openssl("req", "-x509", "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.ca, *_NEW)

    def signed(self, name: str) -> Path:
        """A file with a private key and a certificate for it."""
        key, file = self._folder / f"{name}.key", self._folder / f"{name}.pem"
        chain = ("-CA", self.ca, "-CAkey", self._key, "-addext", "subjectAltName=IP:127.0.0.1")
        _openssl("req", "-x509", "-subj", f"/CN={name}", "-keyout", key, "-out", file, *chain, *_NEW)
        both = self._folder / f"{name}-both.pem"
        both.write_text(key.read_text() + file.read_text())
        return both


_NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


@contextmanager
def secure_server(certificate: Path, *, asks_for: Path | None = None) -> Iterator[str]:
    """The address of a server that is always ready; it asks callers for a certificate of these authorities."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if asks_for is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(asks_for)
    server = _Server(("127.0.0.1", 0), _Ready)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, name="mimi-test-tls")
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that trusts nobody here is no error of the server."""


_BODY = b'{"status": "ready"}'


class _Ready(BaseHTTPRequestHandler):
    timeout = 20

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(_BODY)))
        self.end_headers()
        self.wfile.write(_BODY)

    do_PUT = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

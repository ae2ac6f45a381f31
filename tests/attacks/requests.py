"""Makers of whole HTTP requests that attack the parsers: framing, headers, names, JSON and forms."""

import base64
import json

from tests.attacks import images

PREDICT = "/v1/tasks/digits/predict"
INFER = "/v2/models/digits/infer"


def request(method: str, path: str | bytes, body: bytes = b"", *headers: str, key: str | None = None) -> bytes:
    """A request with Content-Length; everything else as given."""
    place = path if isinstance(path, bytes) else path.encode("latin-1")
    lines = ["Host: localhost", *headers]
    if body or method in ("POST", "PUT"):
        lines.append(f"Content-Length: {len(body)}")
    if key:
        lines.append(f"Authorization: Bearer {key}")
    return b"%s %s HTTP/1.1\r\n%s\r\n\r\n" % (method.encode(), place, "\r\n".join(lines).encode("latin-1")) + body


def base64_images(*files: bytes) -> bytes:
    """A JSON body with these images."""
    return json.dumps({"images": [base64.b64encode(data).decode() for data in files]}).encode()


def long_string(size: int = 33 * 10**6) -> bytes:
    """JSON that is one very long string."""
    return b'{"images": ["' + b"A" * size + b'"]}'


def deep_json(depth: int = 200_000) -> bytes:
    """JSON nested very deep."""
    return b'{"images":' + b"[" * depth + b"]" * depth + b"}"


def wide_json(keys: int = 300_000) -> bytes:
    """JSON with very many keys."""
    return json.dumps({f"k{number}": 1 for number in range(keys)}).encode()


def spaced_v2(spaces: int = 6 * 2**20) -> bytes:
    """An Open Inference Protocol body with megabytes of spaces."""
    return b'{"inputs": [' + b" " * spaces + b"]}"


def form(parts: list[tuple[str, bytes]], *, boundary: str = "x") -> bytes:
    """A multipart body of parts, each its headers and its content."""
    pieces = [f"--{boundary}\r\n{head}\r\n\r\n".encode() + body + b"\r\n" for head, body in parts]
    return b"".join(pieces) + f"--{boundary}--\r\n".encode()


def many_fields(count: int = 1001) -> bytes:
    """A form of very many fields."""
    return form([(f'Content-Disposition: form-data; name="f{number}"', b"1") for number in range(count)])


def many_part_headers(count: int = 500) -> bytes:
    """A form whose only part has very many headers."""
    extra = "".join(f"\r\nX-{number}: 1" for number in range(count))
    return form([('Content-Disposition: form-data; name="image"; filename="a"' + extra, images.small("PNG"))])


def large_part_header(size: int = 2**20) -> bytes:
    """A form whose only part has a header of a megabyte."""
    disposition = 'Content-Disposition: form-data; name="image"; filename="a"'
    return form([(disposition + "\r\nX-A: " + "x" * size, images.small("PNG"))])


def large_field(size: int = 3 * 10**6) -> bytes:
    """A form with a text field of megabytes."""
    return form([('Content-Disposition: form-data; name="top_k"', b"1" * size)])


def climbing_file_name() -> bytes:
    """A form with a sound image under a file name that climbs out of its folder."""
    head = 'Content-Disposition: form-data; name="image"; filename="../../../etc/x.png"'
    return form([(head, images.small("PNG"))])


def chunked(path: str, pieces: list[bytes], *headers: str, key: str | None = None) -> bytes:
    """A request with a chunked body."""
    lines = ["Host: localhost", "Transfer-Encoding: chunked", *headers]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    head = f"POST {path} HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n"
    return head.encode("latin-1") + b"".join(chunk(piece) for piece in pieces) + chunk(b"")


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; the empty one ends it."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"

"""Every attack by name: what it tries, the request that carries it, and which answers are right.

No right answer is above 499. `heavy` attacks cost seconds of processor where decoders have no bound of their own.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from tests.attacks import adapters, images, requests
from tests.attacks.requests import INFER, PREDICT, request

Body = Callable[[], bytes]
REFUSED = (400, 413, 415, 422)
ANSWERED = (200,)
PATTERN = "/v1/tasks/{}/predict"


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack.

    Attributes:
        name: unique, in the README.
        tries: what it tries, in words.
        statuses: the right answers.
        build: the whole request, from the predict key and the manage key.
        heavy: whether it costs seconds of processor in a decoder without bounds.
    """

    name: str
    tries: str
    statuses: tuple[int, ...]
    build: Callable[[str | None, str | None], bytes]
    heavy: bool = False


def attacks() -> Iterator[Attack]:
    """All of them."""
    yield from _heavy_images()
    yield from _odd_images()
    yield from _adapters()
    yield from _bodies()
    yield from _names()
    yield from _framing()


def _image(name: str, tries: str, body: Body, statuses: tuple[int, ...] = REFUSED, *, heavy: bool = False) -> Attack:
    def build(predict: str | None, _: str | None) -> bytes:
        return request("POST", PREDICT, body(), "Content-Type: image/png", key=predict)

    return Attack(f"image: {name}", tries, statuses, build, heavy)


def _adapter(name: str, tries: str, body: Body, statuses: tuple[int, ...] = (400, 409, 413, 415, 422)) -> Attack:
    def build(_: str | None, manage: str | None) -> bytes:
        return request("PUT", "/v1/tasks/attacked", body(), "Content-Type: application/octet-stream", key=manage)

    return Attack(f"adapter: {name}", tries, statuses, build)


def _body(
    name: str, tries: str, body: Body, kind: str, *, path: str = PREDICT, ok: tuple[int, ...] = REFUSED
) -> Attack:
    def build(predict: str | None, _: str | None) -> bytes:
        return request("POST", path, body(), f"Content-Type: {kind}", key=predict)

    return Attack(f"body: {name}", tries, ok, build)


def _heavy_images() -> Iterator[Attack]:
    either = (*ANSWERED, *REFUSED)
    yield _image(
        "progressive scans", "a 16-MP JPEG with 32,000 empty scans", images.progressive_scans, either, heavy=True
    )
    yield _image("empty chunks", "a PNG with 800,000 empty chunks", images.png_empty_chunks, either, heavy=True)
    yield _image("empty markers", "a JPEG with 2,500,000 empty segments", images.jpeg_empty_markers, either, heavy=True)
    yield _image(
        "8BIM records", "a JPEG with 800,000 Photoshop records", images.jpeg_photoshop_records, either, heavy=True
    )
    yield _image("comments", "a JPEG with 6.5 MB of comments", images.jpeg_comments, either)


def _odd_images() -> Iterator[Attack]:
    either, png = (*ANSWERED, *REFUSED), partial(images.small, "PNG")
    yield _image("bomb of 144 MP", "a header that promises 144 MP", partial(images.bomb, 12_000, 12_000), (413,))
    yield _image("bomb of 400 MP", "a header that promises 400 MP", partial(images.bomb, 20_000, 20_000), (413,))
    yield _image("bomb of 2^62 pixels", "sides of 2^31 - 1", partial(images.bomb, 2**31 - 1, 2**31 - 1), REFUSED)
    yield _image("no pixels", "a width of 0", partial(images.bomb, 0, 10), (422,))
    yield _image("one pixel", "1 x 1, which killed another server's engine", partial(_solid, 1, 1), (422,))
    yield _image("one row", "1 x 8,000", partial(_solid, 1, 8000), (422,))
    yield _image("text bomb", "a text chunk that unpacks to 70 MB", images.text_bomb, either)
    yield _image("profile bomb", "a colour profile that unpacks to 70 MB", images.profile_bomb, either)
    yield _image("long image data", "image data that unpacks to 200 MB behind 16 rows", images.long_idat, either)
    yield _image("400 frames", "an animation; only its first frame is read", images.frames, ANSWERED)
    yield _image("400 WebP frames", "the same as WebP", partial(images.frames, "WEBP"), ANSWERED)
    yield _image("flat 16 MP", "16 MP in a few kilobytes", images.flat_png, ANSWERED)
    yield _image(
        "damaged EXIF", "an orientation before damaged entries", partial(images.orientation, 6, garbage=True), either
    )
    yield _image("unknown orientation", "an orientation of 99", partial(images.orientation, 99), ANSWERED)
    yield _image("16 bit", "samples of 16 bits", images.sixteen_bit, either)
    yield _image("floats", "floating-point samples in a TIFF", images.floats, (415,))
    yield _image("GIF", "a format outside the list", partial(images.small, "GIF"), (415,))
    yield _image("BMP", "a format outside the list", partial(images.small, "BMP"), (415,))
    yield _image("TIFF", "a format outside the list", partial(images.small, "TIFF"), (415,))
    yield _image("ICO", "a format outside the list", partial(images.small, "ICO"), (415,))
    yield _image("EPS", "a format whose reader runs a program", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n", (415,))
    yield _image("PDF", "a document", lambda: b"%PDF-1.7\n", (415,))
    yield _image("SVG", "a format that can name files", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", (415,))
    yield _image("zip", "an archive", adapters.zipped, (415,))
    yield _image("false WebP", "a RIFF file of another kind", lambda: b"RIFF\x00\x00\x00\x00WAVE", (415,))
    yield _image("polyglot", "a sound PNG with a zip behind it", lambda: png() + adapters.zipped(), ANSWERED)
    yield _image("cut", "half of a PNG", lambda: png()[: len(png()) // 2], REFUSED)
    yield _image("magic alone", "the first bytes of a PNG", lambda: b"\x89PNG\r\n\x1a\n", (422,))
    yield _image("empty", "no bytes", bytes, REFUSED)
    yield _image("noise", "bytes of no format", lambda: bytes(range(256)) * 400, (415,))


def _solid(width: int, height: int) -> bytes:
    return images.saved(images.picture().resize((width, height)), "PNG")


def _adapters() -> Iterator[Attack]:
    a, meta = adapters, adapters.METADATA
    yield _adapter("pickle", "code that runs when it is unpickled", a.pickled, (415,))
    yield _adapter("zip", "a PyTorch archive with ../ in a name", a.zipped, (415,))
    yield _adapter("tar", "a tar archive with ../ in a name", a.tarred)
    yield _adapter("gzip", "a gzip bomb", a.gzipped, (415, 422))
    yield _adapter("NumPy objects", "a NumPy file that holds a pickle", a.numpy_objects)
    yield _adapter("HTML", "a page", lambda: b"<!DOCTYPE html><html></html>", (415,))
    yield _adapter("empty", "no bytes", bytes)
    for name, length in (("2^63", 2**63), ("101 MB", 101_000_000), ("beyond the file", 10_000)):
        yield _adapter(f"header of {name}", "a false header length", partial(a.joined, "{}", length=length))
    yield _adapter("empty tensors", "300,000 empty tensors in a 20 MB header", a.empty_tensors)
    yield _adapter("metadata", "20 MB of metadata", a.large_metadata)
    yield _adapter("deep header", "lists nested 100,000 deep", a.deep_header)
    yield _adapter("tensor twice", "one tensor name given twice", partial(a.twice, "tensor"))
    yield _adapter("metadata twice", "one metadata key given twice", partial(a.twice, meta))
    yield _adapter("overlap", "two tensors that share bytes", partial(a.moved, -4))
    yield _adapter("hole", "bytes between tensors", partial(a.moved, 4))
    yield _adapter("one byte less", "a cut file", lambda: a.good()[:-1])
    yield _adapter("trailing bytes", "a file with an archive behind it", lambda: a.good() + a.zipped())
    shapes: dict[str, list[object]] = {
        "overflow": [2**33, 2**33], "negative": [-1, -4], "float": [1.5], "text": ["4"], "rank 1,000": [1] * 1000,
        "0 by 2^40": [0, 2**40],
    }  # fmt: skip
    for name, shape in shapes.items():
        yield _adapter(f"shape {name}", "an impossible shape", partial(a.tensor, partial(_put, "shape", shape)))
    for kind in ("F64", "I64", "BOOL", "BF16", "F8_E4M3", "F4", "X", ""):
        yield _adapter(
            f"dtype {kind or 'empty'}", "another element type", partial(a.tensor, partial(_put, "dtype", kind))
        )
    yield _adapter("missing tensor", "one tensor less", partial(a.changed, lambda h: h.pop(a.first_tensor(h))))
    for name in ("../../etc/passwd", "a\x00b", "x" * 10_000, ""):
        yield _adapter(f"tensor {name[:20]!r}", "a tensor under another name", partial(a.renamed, name))
    for number in (float("nan"), float("inf")):
        yield _adapter(f"weight {number}", "a weight that is no number", partial(a.values, number))
    yield _adapter("other backbone", "an adapter of another network", partial(a.manifest, _other_backbone), (409,))
    yield _adapter("no manifest", "no manifest", partial(a.changed, lambda h: h.pop(meta)))


def _put(key: str, value: object, entry: adapters.Header) -> None:
    entry[key] = value


def _other_backbone(manifest: adapters.Header) -> None:
    manifest["backbone"] = {**manifest["backbone"], "fingerprint": "0" * 64}


def _bodies() -> Iterator[Attack]:
    r, kind, multipart = requests, "application/json", "multipart/form-data; boundary=x"
    png, long = partial(images.small, "PNG"), "b" * 257
    yield _body(
        "16 images of 16 MP",
        "much decoding for 32 KB each",
        lambda: r.base64_images(*[images.flat_png()] * 16),
        kind,
        ok=(200, 413, 422, 503, 504),
    )
    yield _body("17 images", "more images than a request may hold", lambda: r.base64_images(*[png()] * 17), kind)
    yield _body("long string", "a JSON string of 33 MB", r.long_string, kind)
    yield _body("spaces", "6 MiB of spaces in a v2 request", r.spaced_v2, kind, path=INFER)
    yield _body("deep JSON", "lists nested 200,000 deep", r.deep_json, kind)
    yield _body("wide JSON", "300,000 keys", r.wide_json, kind)
    yield _body("NaN", "a number that JSON does not have", lambda: b'{"images": [], "top_k": NaN}', kind)
    yield _body("key twice", "one key given twice", lambda: b'{"images": [], "images": []}', kind)
    yield _body("no UTF-8", "bytes that are no text", lambda: b'{"images": ["\xff\xfe"]}', kind)
    yield _body("lone surrogate", "an escape that is no character", lambda: b'{"images": ["\\ud800"]}', kind)
    yield _body(
        "huge number", "a number of 100,000 digits", lambda: b'{"images": [], "top_k": ' + b"9" * 100_000 + b"}", kind
    )
    yield _body("no base64", "text that is no base64", lambda: b'{"images": ["%%%"]}', kind)
    yield _body("not JSON", "text", lambda: b"hello", kind)
    yield _body("1,001 fields", "a form of very many fields", r.many_fields, multipart)
    yield _body("part headers", "a part with 500 headers", r.many_part_headers, multipart)
    yield _body("part header", "a part header of 1 MB", r.large_part_header, multipart)
    yield _body("text field", "a text field of 3 MB", r.large_field, multipart)
    yield _body("file name", "a file name that climbs out of its folder", r.climbing_file_name, multipart, ok=ANSWERED)
    yield _body("no boundary", "a form that says nothing about its parts", r.many_fields, "multipart/form-data")
    yield _body(
        "boundary of 257 bytes",
        "a very long boundary",
        lambda: r.form([], boundary=long),
        f"multipart/form-data; boundary={long}",
    )
    yield _body("shape overflow", "a v2 tensor whose shape overflows", partial(_v2, [2**62, 2**62]), kind, path=INFER)
    yield _body("negative shape", "a v2 tensor of negative shape", partial(_v2, [-1, 3]), kind, path=INFER)


def _v2(shape: list[int]) -> bytes:
    tensor = {"name": "image", "shape": shape, "datatype": "UINT8", "data": [1]}
    return json.dumps({"inputs": [tensor]}).encode()


NAMES = {
    "..": "..",
    "encoded ..": "%2e%2e",
    "NUL": "%00",
    "line end": "%0d%0aSet-Cookie:%20a=b",
    "trailing line end": "digits%0a",
    "slash": "..%2f..%2fetc%2fpasswd",
    "5,000 characters": "x" * 5000,
    "emoji": "%F0%9F%98%80",
    "not UTF-8": "%ff",
    "leading dot": ".digits",
    "upper case": "Digits",
    "backslash": "..%5cetc",
    "escape code": "%1b%5b31m",
}
_POST, _GET, _END = (
    f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\n".encode(),
    b"GET /health/live HTTP/1.1\r\n",
    b"\r\n\r\n",
)
FRAMING = {
    "length and chunks": (_POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked" + _END + b"0" + _END, (400,)),
    "two lengths": (_POST + b"Content-Length: 5\r\nContent-Length: 6" + _END + b"hello", (400,)),
    "negative length": (_POST + b"Content-Length: -5" + _END, (400,)),
    "length of 20 digits": (_POST + b"Content-Length: " + b"9" * 20 + _END, (400, 413)),
    "bad chunk": (_POST + b"Transfer-Encoding: chunked" + _END + b"zz\r\nhello\r\n", (400, 401)),
    "HTTP/0.9": (b"GET /" + _END, (400,)),
    "HTTP/2 preface": (b"PRI * HTTP/2.0" + _END + b"SM" + _END, (400,)),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100) + _END, (400,)),
    "no host": (b"GET / HTTP/1.1" + _END, (400,)),
    "TRACE": (b"TRACE / HTTP/1.1\r\nHost: localhost" + _END, (400, 401, 404, 405)),
    "request line of 1 MB": (b"GET /" + b"x" * 10**6 + b" HTTP/1.1\r\nHost: localhost" + _END, (400, 414, 431)),
    "header of 1 MB": (_GET + b"Host: localhost\r\nX: " + b"y" * 10**6 + _END, (400, 431)),
    "5,000 headers": (_GET + b"Host: localhost\r\n" + b"X: y\r\n" * 5000 + b"\r\n", (400, 431)),
    "unknown encoding": (_POST + b"Content-Encoding: br\r\nContent-Length: 3" + _END + b"abc", (401, 415)),
    "no gzip": (_POST + b"Content-Encoding: gzip\r\nContent-Length: 3" + _END + b"abc", (400, 401)),
}


def _names() -> Iterator[Attack]:
    for name, text in NAMES.items():
        build = partial(_named, PATTERN.format(text))
        yield Attack(f"name: {name}", "a task name that is a path, a line or an escape code", _NOT_FOUND, build)


_NOT_FOUND = (400, 404, 405, 422, 431)


def _named(path: str, predict: str | None, _: str | None) -> bytes:
    return request("POST", path, images.small("PNG"), "Content-Type: image/png", key=predict)


def _framing() -> Iterator[Attack]:
    for name, (data, statuses) in FRAMING.items():
        tries = "a request that two parsers read differently, or that is too large"
        yield Attack(f"framing: {name}", tries, statuses, partial(_as_it_is, data))


def _as_it_is(data: bytes, *_: str | None) -> bytes:
    return data

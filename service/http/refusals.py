"""Answers to predictions for which there is no room, made from a request's bytes alone: nothing is parsed for them.

A flood is refused at the cost of a few searches. The text of one kind of refusal is made once, and only the request's
name is added each time.
"""

import re
from collections.abc import Iterable
from http import HTTPStatus

from starlette.responses import Response

from service.http.record import HEADER, request_id
from service.problems import response_to

_PREDICTION = re.compile(rb"POST /(v1/(?:tasks/[^ ]{1,200}/)?predict|v2/models/[^ ]{1,200}/infer)[ ?]")
_ORIGIN = re.compile(rb"\r\norigin:", re.IGNORECASE)
_NAME = re.compile(rb"\r\nx-request-id:[ \t]*([^\r\n]*?)[ \t]*\r\n", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n")
_MOST_TEXTS = 64  # kinds of refusals whose text is kept
_MOST_HEAD = 4096  # bytes of headers that are searched: those of usual clients have a few hundred


def is_prediction(data: bytes) -> bool:
    """Whether a request begins here that asks for a prediction; a web page's own is left to the application."""
    return _PREDICTION.match(data) is not None and _ORIGIN.search(data, 0, _MOST_HEAD) is None


def is_whole(data: bytes) -> bool:
    """Whether these bytes are one request with its whole body, and nothing else, beyond any doubt about the framing."""
    end = data.find(b"\r\n\r\n", 0, _MOST_HEAD)
    head = data[: end + 2].lower()
    lengths = _LENGTH.findall(head)
    plain = len(lengths) == head.count(b"content-length") == 1 and b"transfer-encoding" not in head
    folded = b"\r\n " in head or b"\r\n\t" in head or head.count(b"\n") != head.count(b"\r\n")
    return plain and not folded and int(lengths[0]) == len(data) - end - len(b"\r\n\r\n")


def may_stay(data: bytes) -> bool:
    """Whether the client of a whole request may send its next one on the same connection."""
    head = data[: data.find(b"\r\n\r\n") + 2].lower()
    others = head.replace(b"\r\nconnection: keep-alive\r\n", b"\r\n")
    return head.partition(b"\r\n")[0].endswith(b" http/1.1") and b"\r\nconnection" not in others


class Refusals:
    """Makes the answers."""

    def __init__(self) -> None:
        """Begin with no text."""
        self._texts: dict[tuple[object, ...], tuple[bytes, bytes]] = {}

    def answer(self, error: Exception, data: bytes, *, close: bool) -> bytes:
        """The whole answer to a request that begins with `data`, and is refused for `error`."""
        found = _PREDICTION.match(data)
        path = b"/" + found[1] if found else b"/"
        version = path[:4]
        key = (type(error), str(error), getattr(error, "retry_after", None), version, close)
        if key not in self._texts:
            if len(self._texts) >= _MOST_TEXTS:
                self._texts.clear()
            self._texts[key] = _text(error, version.decode(), close=close)
        before, after = self._texts[key]
        sent = _NAME.search(data, 0, _MOST_HEAD)
        return b"".join((before, request_id([(HEADER, sent[1])] if sent else []), after))


def plain(error: Exception, path: str) -> bytes:
    """A last answer outside of any prediction, without a request's name, in the form that its path asks for."""
    response = response_to(error, path)
    head = [_status(response), *_lines([*response.raw_headers, (b"connection", b"close")])]
    return b"\r\n".join([*head, b"", bytes(response.body)])


def _text(error: Exception, path: str, *, close: bool) -> tuple[bytes, bytes]:
    """An answer before and behind the request's name."""
    response = response_to(error, path)
    close_it = [(b"connection", b"close")] if close else []
    head = [_status(response), *_lines([*response.raw_headers, *close_it, (HEADER, b"")])]
    return b"\r\n".join(head), b"\r\n\r\n" + bytes(response.body)


def _status(response: Response) -> bytes:
    return f"HTTP/1.1 {response.status_code} {HTTPStatus(response.status_code).phrase}".encode()


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    return (name + b": " + value for name, value in headers)

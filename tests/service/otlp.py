"""A receiver of OTLP over HTTP on loopback: it parses the real messages and keeps the spans."""

import gzip
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATH = "/v1/traces"


@dataclass(eq=False)
class Receiver:
    """The spans and resources that have arrived so far."""

    port: int
    spans: list[Span] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where traces are sent to."""
        return f"http://127.0.0.1:{self.port}{PATH}"

    def take(self, message: bytes) -> None:
        """Keep the spans of a message."""
        request = ExportTraceServiceRequest.FromString(message)
        for each in request.resource_spans:
            self.resources.append(attributes(each.resource))
            for scope in each.scope_spans:
                self.spans.extend(scope.spans)

    def named(self, name: str) -> list[Span]:
        """All spans of a name."""
        return [span for span in self.spans if span.name == name]

    def inside(self, parent: Span) -> Mapping[str, Span]:
        """The children of a span, by name."""
        return {span.name: span for span in self.spans if span.parent_span_id == parent.span_id}


def attributes(of: Any) -> dict[str, Any]:  # noqa: ANN401 - a span or a resource
    """Attributes as plain values."""
    return {pair.key: _value(pair.value) for pair in of.attributes}


def _value(value: Any) -> Any:  # noqa: ANN401
    kind = value.WhichOneof("value")
    if kind == "array_value":
        found: Sequence[Any] = [_value(each) for each in value.array_value.values]
        return found
    return getattr(value, kind)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            right = self.path == PATH and self.headers["Content-Type"] == "application/x-protobuf"
            if right:
                receiver.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200 if right else 400)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""Spans of requests and batches, sent as OTLP over HTTP. Imported only where the setting `traces` names a receiver.

    request   from its headers to its answer; the parent of its stages. It continues a trace of the client
    decode    the images of a request, waiting for a thread included
    queue     the rows of a request that one batch took, from the queue's entry to the batch's begin
    compute   the same rows in that batch; linked to it
    batch     a trace of its own, linked to every traced request in it

The stages are known by their times when they are over, so nothing is measured that was not measured before. Spans are
sent by a thread of OpenTelemetry. Its queue is bounded: what does not fit is dropped, and no request waits for it.
"""

import os
import socket
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, format_span_id, format_trace_id, set_span_in_context
from opentelemetry.trace import Tracer as OtelTracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from service.engine.queueing import Done, Exemplars, Item, Outcome
from service.metrics.counters import RequestRecord
from service.problems import answer_to
from service.telemetry.traces import RequestTrace, current

_NAME = "mimi-serving"
_SERVER_ERROR = 500
_GIGA = 1_000_000_000
_MOST_TASKS = 16  # that a span names
_LAST_SECONDS = 3.0  # for the spans that wait when the server ends
_Row = tuple[Item, Outcome]

_PARENT = ("traceparent", "tracestate")


class Tracer:
    """Makes the spans. Belongs to the event loop."""

    def __init__(self, address: str, *, ratio: float = 1.0) -> None:
        """Start the thread that sends.

        Args:
            address: of an OTLP receiver, path included. Its headers and certificates come from OTEL_EXPORTER_OTLP_*.
            ratio: part of the requests that are traced, where no client has decided it.
        """
        self._sending = BatchSpanProcessor(OTLPSpanExporter(endpoint=address))
        self._requests = self._tracer(ParentBased(TraceIdRatioBased(ratio)))
        self._batches = self._tracer(ALWAYS_ON)  # there is such a span only if it links to one that is sampled
        self._propagator = TraceContextTextMapPropagator()

    def begin(
        self, name: str, headers: Iterable[tuple[bytes, bytes]], attributes: Mapping[str, AttributeValue]
    ) -> RequestTrace:
        """Begin the span of a request, which is the current one of this task from now on.

        Args:
            name: of the span, until `end` knows a better one.
            headers: lower-case names and values, in which a W3C trace context is looked for.
            attributes: of the span.
        """
        parent = self._propagator.extract(_carrier(headers), Context())
        span = self._requests.start_span(name, parent, SpanKind.SERVER, attributes)
        known = span.get_span_context()
        ids = format_trace_id(known.trace_id), format_span_id(known.span_id)
        begun = RequestTrace(span, *ids, sampled=span.is_recording())
        current.set(begun)
        return begun

    def end(
        self,
        trace: RequestTrace,
        record: RequestRecord,
        *,
        status: int,
        name: str,
        attributes: Mapping[str, AttributeValue],
    ) -> None:
        """End the span of a request; `status` is its answer's, in HTTP's numbers."""
        if not trace.sampled:
            return
        span: Span = trace.span
        span.update_name(name)
        span.set_attributes(attributes)
        if record.asked:
            span.set_attribute("mimi.tasks", [asked.named.task for asked in record.asked[:_MOST_TASKS]])
            span.set_attribute("mimi.versions", [asked.named.info.version for asked in record.asked[:_MOST_TASKS]])
        if record.error is not None:
            span.set_attribute("error.type", answer_to(record.error).problem.code)
        if status >= _SERVER_ERROR:
            span.set_status(StatusCode.ERROR)
        span.end()

    def stage(self, name: str, start: float, end: float, images: int) -> None:
        """A stage of the current request that is over; times in monotonic seconds."""
        if (trace := current.get()) is not None and trace.sampled:
            self._add(name, trace, times=(start, end), images=images)

    def batch(self, done: Done) -> Exemplars | None:
        """The spans of a batch: its own, and two for each traced request in it. None if none of them is traced."""
        for item in done.late:
            if (trace := _traced(item)) is not None:
                times, error = (item.request.since, done.started), "the answer would have come too late"
                self._add("queue", trace, times=times, images=1, error=error)
        groups = _by_request(done)
        if not groups:
            return None
        items, end = [item for item, _ in done.outcomes], done.started + done.seconds
        links = [Link(trace.span.get_span_context()) for trace in groups]
        span = self._batches.start_span("batch", Context(), links=links, start_time=_moment(done.started))
        tasks = len({item.row.resident.sha256 for item in items})
        span.set_attributes({"mimi.images": len(items), "mimi.distinct_tasks": tasks})
        span.end(_moment(end))
        known = span.get_span_context()
        for trace, rows in groups.items():
            waited, computed = (rows[0][0].request.since, done.started), (done.started, end)
            self._add("queue", trace, times=waited, images=len(rows))
            self._add("compute", trace, times=computed, images=len(rows), links=[Link(known)], error=_error(rows))
        own = {"trace_id": format_trace_id(known.trace_id), "span_id": format_span_id(known.span_id)}
        return Exemplars(own, [None if (trace := _traced(item)) is None else trace.exemplar for item in items])

    def flush(self) -> None:
        """Send what waits."""
        self._sending.force_flush()

    def close(self) -> None:
        """Send what waits, for a few seconds at most: a receiver that hangs must not keep the server."""
        closing = threading.Thread(target=self._sending.shutdown, name="mimi-traces-end", daemon=True)
        closing.start()
        closing.join(_LAST_SECONDS)

    def _tracer(self, sampler: Sampler) -> OtelTracer:
        provider = TracerProvider(sampler=sampler, resource=_resource(), shutdown_on_exit=False)
        provider.add_span_processor(self._sending)
        return provider.get_tracer(_NAME, version(_NAME))

    def _add(
        self,
        name: str,
        parent: RequestTrace,
        *,
        times: tuple[float, float],
        images: int,
        links: Sequence[Link] = (),
        error: str = "",
    ) -> None:
        start, end = map(_moment, times)
        within = set_span_in_context(parent.span, Context())
        span = self._requests.start_span(name, within, links=links, start_time=start)
        span.set_attribute("mimi.images", images)
        if error:
            span.set_status(StatusCode.ERROR, error)
        span.end(end)


def _resource() -> Resource:
    """This process; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win."""
    own = {
        "service.name": _NAME,
        "service.version": version(_NAME),
        "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
    }
    return Resource.create(own).merge(OTELResourceDetector().detect())


def _carrier(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The trace context among headers. Two parents are none, as the W3C's recommendation says."""
    found: dict[str, str] = {}
    for raw, value in headers:
        name = raw.decode("latin-1")
        if name in _PARENT:
            text = value.decode("latin-1")
            found[name] = f"{found[name]},{text}" if name in found else text
    return found


def _by_request(done: Done) -> dict[RequestTrace, list[_Row]]:
    """The rows of each traced request in a batch, with their outcomes."""
    found: dict[RequestTrace, list[_Row]] = {}
    for item, outcome in done.outcomes:
        if (trace := _traced(item)) is not None:
            found.setdefault(trace, []).append((item, outcome))
    return found


def _traced(item: Item) -> RequestTrace | None:
    """The trace of a row's request, if it is sampled."""
    trace = item.request.origin
    return trace if isinstance(trace, RequestTrace) and trace.sampled else None


def _error(rows: Sequence[_Row]) -> str:
    """The first error among outcomes; empty if there is none."""
    return next((str(outcome) for _, outcome in rows if isinstance(outcome, Exception)), "")


def _moment(seconds: float) -> int:
    """Nanoseconds since 1970 of a time on the monotonic clock."""
    return time.time_ns() - time.monotonic_ns() + int(seconds * _GIGA)

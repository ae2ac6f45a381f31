"""The trace of the request that is being answered. `otel` makes it; logs, metrics and the batcher's callers read it.

Nothing here imports OpenTelemetry, so that a server without traces does not load it.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class RequestTrace:
    """The span of one request, which contains those of its stages.

    Attributes:
        span: OpenTelemetry's.
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        sampled: whether the span is recorded and sent; the ids exist in any case.
    """

    span: Any
    trace_id: str
    span_id: str
    sampled: bool

    @property
    def exemplar(self) -> dict[str, str] | None:
        """The labels of an exemplar; None if nobody will find this trace."""
        return {"trace_id": self.trace_id, "span_id": self.span_id} if self.sampled else None


current: ContextVar[RequestTrace | None] = ContextVar("request_trace", default=None)  # None: no request, or no traces


def exemplar() -> dict[str, str] | None:
    """The exemplar of the current request, if it is traced."""
    traced = current.get()
    return None if traced is None else traced.exemplar

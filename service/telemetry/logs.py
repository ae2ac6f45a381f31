"""Log lines: as text or as JSON, each with the request that it is about.

Context variables hold the request's id and its trace. `carried` passes them to jobs in other threads.
"""

import json
import logging
import random
import re
import sys
import time
from collections.abc import Callable, MutableMapping, Sequence
from contextvars import ContextVar, copy_context
from typing import Any, Final, TypeVar

from service.settings import Settings
from service.telemetry.traces import current

T = TypeVar("T")

request_name: ContextVar[str] = ContextVar("request_name", default="")  # empty: no request

_NAMES = ("request_id", "trace_id", "span_id")
_FIELDS = "mimi_fields"  # attribute of a record: what JSON shows beside the message
_QUIET: Final = ("uvicorn", "python_multipart")  # they log a line for each malformed request, which we count
_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s%(request)s"
_MILLISECONDS = 1000
_USABLE = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")  # nothing that could break a header or a log line

access = logging.getLogger("service.access_log")


def configure(settings: Settings) -> None:
    """Send every line to standard error, warnings of libraries as well, in the form that the settings name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else logging.Formatter(_TEXT))
    handler.addFilter(_name_request)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addFilter(_one_line)
    access.disabled = settings.access_log == "off"
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message; request, trace, fields, exception if any."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; characters beyond ASCII are escaped."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{moment}.{int(record.msecs):03}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: found for name in _NAMES if (found := getattr(record, name, ""))}
        line |= getattr(record, _FIELDS, {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def chosen_name(sent: Sequence[bytes]) -> bytes:
    """The client's name for its request if it sent exactly one, of 1 to 128 harmless characters; else a new one."""
    if len(sent) == 1 and _USABLE.fullmatch(sent[0]):
        return sent[0]
    return b"%032x" % random.getrandbits(128)  # a name, not a secret: no call into the kernel for each


def carried(job: Callable[[], T]) -> Callable[[], T]:
    """A job for another thread that keeps the id and the trace of the current request."""
    context = copy_context()
    return lambda: context.run(job)


def log_answer(scope: MutableMapping[str, Any], *, status: int, size: int, seconds: float) -> None:
    """Write the access log's line for one answer; the query is left out, because it may hold what is secret.

    Args:
        scope: ASGI's, of the request.
        status: of the answer; 499 if the client was gone before it.
        size: bytes of the answer's body that were sent.
        seconds: from the request's headers to the end of its answer.
    """
    if not access.isEnabledFor(logging.INFO):
        return
    path = ascii((scope.get("raw_path") or b"").partition(b"?")[0].decode("latin-1"))[1:-1]
    client = (scope.get("client") or ("-",))[0]
    took = round(_MILLISECONDS * seconds, 1)
    fields = {
        "client": client,
        "method": scope["method"],
        "path": path,
        "status": status,
        "bytes": size,
        "milliseconds": took,
    }
    words = (client, scope["method"], path, status, size, took)
    access.info("%s %s %s %d, %d bytes in %.1f ms", *words, extra={_FIELDS: fields})


def _name_request(record: logging.LogRecord) -> bool:
    """Give a record the id of the current request, and those of its trace if there is one."""
    name, traced = request_name.get(), current.get()
    record.__dict__.update(request_id=name, request=f" [{name}]" if name else "")
    if traced is not None:
        record.__dict__.update(
            request=f" [{name} trace_id={traced.trace_id}]", trace_id=traced.trace_id, span_id=traced.span_id
        )
    return True


def _one_line(record: logging.LogRecord) -> bool:
    """Cut a captured warning before the line of source code that Python shows below it."""
    record.msg, record.args = record.getMessage().partition("\n")[0], ()
    return True

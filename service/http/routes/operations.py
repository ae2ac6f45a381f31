"""Routes for operators and their tools: health, metrics, and the OpenAPI document."""

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.exposition import choose_encoder

from service.errors import MisdirectedRequest
from service.http import examples, openapi
from service.http.routes.common import Running, may_predict, may_read_metrics
from service.schemas import Health
from service.tasks.conditions import fresh

router = APIRouter(tags=["operations"])


@router.get("/health/live", responses={200: examples.plain("alive")})
async def live() -> Health:
    """The process is alive."""
    return Health(status="alive")


@router.get("/health/ready", responses={200: examples.plain("ready")})
async def ready(service: Running) -> Health:
    """The server takes requests; 503 while it stops, or while one of its parts cannot work."""
    service.readiness.check()
    return Health(status="ready")


@router.get(
    "/metrics",
    dependencies=[Depends(may_read_metrics)],
    response_class=Response,
    responses={200: examples.METRICS},
)
async def metrics(service: Running, request: Request) -> Response:
    """Counters and histograms in Prometheus' text format. Each of several workers has its own, at its own port.

    While the server makes traces, a client that accepts OpenMetrics gets it, with exemplars that name traces.
    """
    settings, (_, port) = service.settings, request.scope.get("server") or ("", None)
    if settings.workers > 1 and port == settings.port:
        raise MisdirectedRequest("one of several workers answers here: read each one's metrics at its own worker_port")
    if service.tracer is None:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(service.metrics.text(encode), media_type=media_type)


@router.get("/openapi.json", dependencies=[Depends(may_predict)], include_in_schema=False)
async def document(request: Request, service: Running) -> Response:
    """The OpenAPI document."""
    data, etag = openapi.encoded(request.app, needs_key=service.keyring.needs_key)
    if fresh(request.headers.getlist("if-none-match"), etag):
        return Response(status_code=304, headers={"ETag": etag})
    return Response(data, headers={"ETag": etag}, media_type="application/json")

"""Traces of a real server, as a real receiver of OTLP gets them: spans, links, parents, logs and exemplars."""

import json
import re
import socket
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from service.settings import Settings
from tests.deploy.configuration import needs_prometheus
from tests.deploy.prometheus import scraping
from tests.service.adapters import make
from tests.service.asking import PNG, raw
from tests.service.gate import until
from tests.service.grpc.speaking import INFER, channel, message
from tests.service.live import PATIENCE, Live, serving
from tests.service.otlp import Receiver, attributes, receiving
from tests.service.telemetry.test_logs import logged

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
PREDICT = "POST /v1/tasks/{task}/predict"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def settings(tmp_path: Path, receiver: Receiver, **more: object) -> Settings:
    values = {"store": str(tmp_path / "store.db"), "request_seconds": 60.0, "traces": receiver.address, **more}
    return Settings.model_validate(values)


def ask(live: Live, task: str = "cats", **headers: str) -> None:
    sent = raw()
    sent["headers"] = {**sent.get("headers", {}), **headers}
    assert live.client.post(f"/v1/tasks/{task}/predict", **sent).status_code == 200


def hexed(span: Span) -> tuple[str, str, str]:
    """Trace, span and parent of a span."""
    return span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()


def test_a_request_has_a_span_for_each_stage_and_its_batch_links_to_it(tmp_path: Path) -> None:
    with receiving() as receiver:
        before = time.time_ns()
        with serving(settings(tmp_path, receiver), {"cats": make(2)}) as live:
            ask(live, **{"X-Request-Id": "shop-42"})
            assert live.client.get("/health/ready").status_code == 200
        after = time.time_ns()
        (request,) = receiver.named(PREDICT)
        assert request.kind == Span.SPAN_KIND_SERVER
        known = attributes(request)
        assert known["http.route"] == "/v1/tasks/{task}/predict"
        assert (known["http.response.status_code"], known["mimi.request_id"]) == (200, "shop-42")
        assert (known["mimi.tasks"], known["mimi.versions"]) == (["cats"], [1])
        stages = receiver.inside(request)
        assert stages.keys() == {"decode", "queue", "compute"}
        (batch,) = receiver.named("batch")
        assert [(link.trace_id, link.span_id) for link in batch.links] == [(request.trace_id, request.span_id)]
        assert [(link.trace_id, link.span_id) for link in stages["compute"].links] == [(batch.trace_id, batch.span_id)]
        assert batch.trace_id != request.trace_id
        assert attributes(batch) == {"mimi.images": 1, "mimi.distinct_tasks": 1}
        assert {span.name for span in receiver.spans} == {PREDICT, "decode", "queue", "compute", "batch"}
    in_order = [stages[name] for name in ("decode", "queue", "compute")]
    assert before < request.start_time_unix_nano < request.end_time_unix_nano < after
    slack = 50_000_000  # the two clocks are not read at one moment
    moments = [moment for span in in_order for moment in (span.start_time_unix_nano, span.end_time_unix_nano)]
    moments = [request.start_time_unix_nano, *moments, request.end_time_unix_nano]
    assert all(one <= following + slack for one, following in pairwise(moments))
    assert receiver.resources[0]["service.name"] == "mimi-serving"
    assert {"service.version", "service.instance.id"} <= receiver.resources[0].keys()


def test_one_batch_links_to_all_its_requests(tmp_path: Path) -> None:
    with (
        receiving() as receiver,
        serving(settings(tmp_path, receiver), {"cats": make(2), "dogs": make(3)}) as live,
    ):
        assert live.client.post("/v1/predict?tasks=cats&tasks=dogs", content=PNG).status_code == 200

        def together() -> bool:
            """Ask at the same time until the kernel lets two requests meet in one batch."""
            askers = [threading.Thread(target=ask, args=(live, task)) for task in ("cats", "dogs") * 4]
            for asker in askers:
                asker.start()
            for asker in askers:
                asker.join()
            assert live.service.tracer is not None
            live.service.tracer.flush()
            return any(len(batch.links) > 1 for batch in receiver.named("batch"))

        until(together)
        (fanned_out,) = receiver.named("POST /v1/predict")
        assert attributes(fanned_out)["mimi.tasks"] == ["cats", "dogs"]
        assert attributes(receiver.inside(fanned_out)["compute"])["mimi.images"] == 2
        shared = next(batch for batch in receiver.named("batch") if len(batch.links) > 1)
        asked = {span.span_id: span for span in receiver.named(PREDICT)}
        for link in shared.links:
            compute = receiver.inside(asked[link.span_id])["compute"]
            assert [each.span_id for each in compute.links] == [shared.span_id]


def test_a_clients_trace_is_continued_and_its_choice_is_kept(tmp_path: Path) -> None:
    with receiving() as receiver:
        with serving(settings(tmp_path, receiver, trace_ratio=0.0), {"cats": make(2)}) as live:
            ask(live)  # chance alone traces none
            ask(live, traceparent=NOT_SAMPLED)
            ask(live, traceparent="00-nonsense")
            ask(live, traceparent=SAMPLED, tracestate="shop=1")
        (request,) = receiver.named(PREDICT)
        assert hexed(request)[0::2] == (TRACE, PARENT)
        assert request.trace_state == "shop=1"
        assert receiver.inside(request).keys() == {"decode", "queue", "compute"}
        assert len(receiver.named("batch")) == 1


def test_two_parents_are_none(tmp_path: Path) -> None:
    with receiving() as receiver:
        with serving(settings(tmp_path, receiver), {"cats": make(2)}) as live:
            sent = raw()
            twice = [*sent.pop("headers", {}).items(), ("traceparent", SAMPLED), ("traceparent", SAMPLED)]
            assert live.client.post("/v1/tasks/cats/predict", headers=twice, **sent).status_code == 200
        (request,) = receiver.named(PREDICT)
        assert request.trace_id.hex() != TRACE
        assert request.parent_span_id == b""


def test_a_refusal_has_its_code_and_a_failure_is_an_error(tmp_path: Path) -> None:
    with receiving() as receiver:
        with serving(settings(tmp_path, receiver), {"cats": make(2)}) as live:
            assert live.client.post("/v1/tasks/cats/predict", content=b"no image").status_code == 415
            assert live.client.get("/nowhere").status_code == 404
        (refused,) = receiver.named(PREDICT)
        assert attributes(refused)["error.type"] == "unsupported_format"
        assert refused.status.code == Status.STATUS_CODE_UNSET  # the client's fault, as the conventions say
        (nowhere,) = receiver.named("GET")
        assert attributes(nowhere)["http.response.status_code"] == 404
        with serving(settings(tmp_path, receiver, request_seconds=1e-9)) as live:
            assert live.client.post("/v1/tasks/cats/predict", content=PNG).status_code == 504
        (late,) = [span for span in receiver.named(PREDICT) if span.status.code == Status.STATUS_CODE_ERROR]
        assert attributes(late)["error.type"] == "deadline_exceeded"


def test_a_call_over_grpc_is_traced_alike(tmp_path: Path) -> None:
    with receiving() as receiver:
        with (
            serving(settings(tmp_path, receiver, grpc_port=0), {"cats": make(2)}) as live,
            channel(live) as opened,
        ):
            sent = [("traceparent", SAMPLED)]
            assert opened.unary_unary(INFER)(message("cats", PNG), timeout=PATIENCE, metadata=sent)
            with pytest.raises(grpc.RpcError):
                opened.unary_unary(INFER)(message("nobody", PNG), timeout=PATIENCE)
        answered, refused = sorted(receiver.named(INFER[1:]), key=lambda span: span.start_time_unix_nano)
        assert hexed(answered)[0::2] == (TRACE, PARENT)
        assert receiver.inside(answered).keys() == {"decode", "queue", "compute"}
        assert attributes(answered)["rpc.grpc.status_code"] == 0
        assert attributes(refused)["rpc.grpc.status_code"] == grpc.StatusCode.NOT_FOUND.value[0]
        assert attributes(refused)["error.type"] == "unknown_task"


def test_latency_histograms_have_exemplars_that_lead_to_traces(tmp_path: Path) -> None:
    with receiving() as receiver:
        with serving(settings(tmp_path, receiver), {"cats": make(2)}) as live:
            ask(live)
            plain = live.client.get("/metrics")
            found = live.client.get("/metrics", headers={"Accept": OPEN_METRICS})
        traces = {span.trace_id.hex() for span in receiver.named(PREDICT)}
        batches = {span.trace_id.hex() for span in receiver.named("batch")}
    assert plain.headers["content-type"].startswith("text/plain")
    assert "trace_id" not in plain.text
    assert found.headers["content-type"].startswith("application/openmetrics-text")
    exemplars = {
        family.name: sample.exemplar.labels["trace_id"]
        for family in text_string_to_metric_families(found.text)  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar is not None
    }
    assert exemplars.keys() == {
        "mimi_request_duration_seconds",
        "mimi_decode_seconds",
        "mimi_queue_wait_seconds",
        "mimi_forward_seconds",
    }
    assert {exemplars.pop("mimi_forward_seconds")} == batches
    assert set(exemplars.values()) == traces


@needs_prometheus
def test_a_real_prometheus_stores_the_exemplars(tmp_path: Path) -> None:
    with receiving() as receiver, serving(settings(tmp_path, receiver), {"cats": make(2)}) as live:
        with scraping(f"127.0.0.1:{live.port}", "k" * 16, tmp_path, "exemplar-storage") as prometheus:
            ask(live)
            query = f"/api/v1/query_exemplars?query=mimi_request_duration_seconds_bucket&start=0&end={2**31}"
            prometheus.until(lambda asked: bool(asked.get(query)))
            (series,) = prometheus.get(query)
        assert live.service.tracer is not None
        live.service.tracer.flush()
        (request,) = receiver.named(PREDICT)
    assert series["exemplars"][0]["labels"]["trace_id"] == request.trace_id.hex()


@pytest.mark.timeout(400)
def test_log_lines_name_the_trace_and_spans_arrive_from_a_process_that_ends(tmp_path: Path) -> None:
    with receiving() as receiver:
        more = {"traces": receiver.address, "log_format": "json", "access_log": "on"}
        with logged(tmp_path, **more) as server:
            sent = f"{server.address}/v1/tasks/digits/predict"
            command = ["curl", "-sS", "-f", "--data-binary", "@-", "-H", "Content-Type: image/png"]
            subprocess.run([*command, "-H", f"traceparent: {SAMPLED}", sent], input=PNG, check=True, timeout=PATIENCE)
        (line,) = [json.loads(line) for line in server.lines() if "access_log" in line]
        (request,) = receiver.named(PREDICT)
        assert (line["trace_id"], line["span_id"]) == hexed(request)[:2]
        assert line["trace_id"] == TRACE


def test_a_receiver_that_is_gone_or_hangs_delays_no_request_and_hardly_the_end(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and never answers
        nobody = Receiver(silent.getsockname()[1])
        with serving(settings(tmp_path, nobody), {"cats": make(2)}) as live:
            for _ in range(20):
                ask(live)
            began = time.monotonic()
        assert time.monotonic() - began < 30  # 3 s for the traces; the rest is patience with a busy machine


def test_without_traces_neither_a_tracer_nor_a_sender_is_imported() -> None:
    script = """
import sys
import service.process.server, service.grpc.server
from service.http.app import create_app
ours = ("service.metrics.otel", "opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto")
print(sorted(name for name in sys.modules if name.startswith(ours)))  # FastAPI itself imports the bare API
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


def test_without_its_packages_it_does_not_start(tmp_path: Path) -> None:
    script = """
import sys
sys.modules["opentelemetry.exporter"] = None
from service.process.server import main
from service.settings import Settings
raise SystemExit(main(Settings(traces="http://127.0.0.1:4318/v1/traces", port=0, store=sys.argv[1])))
"""
    command = [sys.executable, "-c", script, str(tmp_path / "store.db")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, "mimi-serving[otel]" in ended.stderr) == (2, True)


@pytest.mark.parametrize("bad", ["localhost:4318", "ftp://host/v1/traces", "http://key:secret@host/", "http://h/?k=v"])
def test_an_address_that_is_none_is_refused_without_being_repeated(bad: str) -> None:
    with pytest.raises(ValueError, match="traces") as caught:
        Settings(traces=bad)
    assert not re.search(re.escape(bad), str(caught.value))

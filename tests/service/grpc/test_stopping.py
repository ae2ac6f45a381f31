"""How the port for gRPC opens and closes: with the server, after what is under way."""

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from adapters_store import open_store
from service.process.server import listen
from service.settings import Settings
from tests.service.adapters import Made, make
from tests.service.asking import PNG
from tests.service.gate import gated, until
from tests.service.grpc.speaking import ask, channel, message, refusal
from tests.service.live import PATIENCE, serving
from tests.service.processes import running

REQUEST = message("cats", PNG)


def test_what_is_under_way_is_answered_and_balancers_are_told_first(made: dict[str, Made], tmp_path: Path) -> None:
    settings = Settings(
        store=str(tmp_path / "store.db"),
        grpc_port=0,
        notice_seconds=1000.0,
        request_seconds=PATIENCE,
        stall_seconds=PATIENCE,
    )
    with (
        serving(settings, {"cats": made["cats"]}) as live,
        gated(live) as gate,
        ThreadPoolExecutor(1) as pool,
        channel(live) as opened,
    ):
        watch = health_pb2_grpc.HealthStub(opened).Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        asked = pool.submit(ask, opened, REQUEST)
        assert gate.reached.wait(PATIENCE)
        live.server.handle_exit(signal.SIGTERM, None)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert ask(opened, b"", method="/inference.GRPCInferenceService/ServerLive")  # still answered
        watch.cancel()
        live.server.handle_exit(signal.SIGTERM, None)  # it ends now
        with channel(live) as late:
            until(lambda: _is_closed(late))
        assert not asked.done()
        gate.open.set()
        assert asked.result(PATIENCE)


def _is_closed(opened: Any) -> bool:  # noqa: ANN401
    try:
        ask(opened, b"", method="/inference.GRPCInferenceService/ServerLive")
    except grpc.RpcError as error:
        return bool(error.code() is grpc.StatusCode.UNAVAILABLE)
    return False


@pytest.mark.timeout(400)
def test_a_process_serves_both_ports_and_ends_with_status_0(tmp_path: Path) -> None:
    store = str(tmp_path / "store.db")
    with closing(open_store(store)) as opened:
        opened.publish("cats", make(70).data)
    with closing(listen("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"store": store, "grpc_port": str(port), "notice_seconds": "0.2", "request_seconds": "50"}
    with running("service", **settings) as (server, _), grpc.insecure_channel(f"127.0.0.1:{port}") as client:
        assert ask(client, REQUEST)
        assert refusal(client, message("nobody", PNG))[0] is grpc.StatusCode.NOT_FOUND
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE) == 0


@pytest.mark.timeout(400)
def test_a_port_that_is_taken_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with closing(listen("127.0.0.1", 0)) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        started = running("service", store=str(tmp_path / "store.db"), grpc_port=str(port))
        with pytest.raises(AssertionError, match="names no address"), started:
            pass
    assert f"cannot listen on 127.0.0.1:{port} for gRPC" in capfd.readouterr().err

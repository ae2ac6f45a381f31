"""The bounds of a call: keys, rates, sizes, streams that stay open; and hostile clients beside others."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.service.asking import PNG
from tests.service.gate import until
from tests.service.grpc.speaking import INFER, ask, channel, headers, message, port_of, problem, refusal
from tests.service.live import PATIENCE, Live, encode, picture

SHOP, NOISY, SLOW, BOSS = (
    "shop-key-16-characters",
    "noisy-key-16-characters",
    "slow-key-of-16-characters",
    "boss-key-16-characters",
)
UNLOAD = "/inference.GRPCInferenceService/RepositoryModelUnload"
LIVE = "/inference.GRPCInferenceService/ServerLive"
REQUEST = message("cats", PNG)


@pytest.fixture(autouse=True)
def others(locked: Live) -> Iterator[None]:
    """After everything: another client is answered, and nothing of our own failed."""
    yield
    with channel(locked) as opened:
        assert ask(opened, REQUEST, SHOP)
    assert "internal_error" not in locked.client.get("/metrics", headers=dict(headers(BOSS))).text


def test_a_key_opens_what_it_opens_over_http(locked: Live) -> None:
    with channel(locked) as opened:
        assert ask(opened, REQUEST, SHOP)
        assert ask(opened, b"", method=LIVE)
        assert refusal(opened, REQUEST) == (grpc.StatusCode.UNAUTHENTICATED, "unauthorized")
        assert refusal(opened, b"", SHOP, UNLOAD) == (grpc.StatusCode.PERMISSION_DENIED, "forbidden")
        assert refusal(opened, b"", BOSS, UNLOAD) == (grpc.StatusCode.NOT_FOUND, "unknown_task")
        with pytest.raises(grpc.RpcError):
            list(ProtoReflectionDescriptorDatabase(opened).get_services())


def test_a_key_that_asks_too_often_waits_on_both_ports(locked: Live) -> None:
    with channel(locked) as opened:
        ask(opened, REQUEST, SLOW)
        ask(opened, REQUEST, SLOW)
        assert refusal(opened, REQUEST, SLOW) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "rate_limited")
    assert locked.client.get("/v1/tasks", headers=dict(headers(SLOW))).status_code == 429


def test_many_wrong_keys_are_refused_early_and_good_ones_are_not(locked: Live) -> None:
    with channel(locked) as opened:
        codes = [refusal(opened, REQUEST, "wrong key number one")[1] for _ in range(30)]
    assert codes[-1] == "too_many_wrong_keys"
    assert set(codes) == {"unauthorized", "too_many_wrong_keys"}


def test_too_much_is_refused_whatever_it_is(locked: Live) -> None:
    with channel(locked) as opened:
        code, _ = refusal(opened, message("cats", b"\x89PNG" + bytes(60_000)), SHOP)
        assert code.name == "RESOURCE_EXHAUSTED"  # by gRPC itself, before the message is here
        assert refusal(opened, bytes(20_000), method=LIVE) == (grpc.StatusCode.INVALID_ARGUMENT, "body_too_large")
        assert refusal(opened, message("cats", *[b""] * 5000), SHOP)[1] == "invalid_inference"
        assert refusal(opened, message("cats", *[b"x"] * 17), SHOP)[1] == "invalid_inference"
        assert refusal(opened, b"\x2a\x00" * 20_000, SHOP)[1] == "invalid_inference"  # inputs, each of nothing
        assert refusal(opened, b"no message", SHOP)[1] == "invalid_inference"
        big = encode(np.zeros((600, 9000, 3), np.uint8))
        assert refusal(opened, message("cats", big), SHOP)[1] == "image_too_large"
        with pytest.raises(grpc.RpcError, match="UNIMPLEMENTED"):
            opened.unary_unary(INFER)(
                REQUEST, metadata=headers(SHOP), compression=grpc.Compression.Gzip, timeout=PATIENCE
            )


def test_what_was_too_large_is_counted(locked: Live) -> None:
    def counted() -> float:
        text = locked.client.get("/metrics", headers=dict(headers(BOSS))).text
        lines = [each for each in text.splitlines() if each.startswith('mimi_rejected_total{reason="body_too_large"}')]
        return float(lines[0].split()[-1]) if lines else 0.0

    before = counted()
    with channel(locked) as opened:
        refusal(opened, message("cats", bytes(60_000)), SHOP)
    until(lambda: counted() > before)


def test_a_message_that_does_not_come_is_not_waited_for(locked: Live) -> None:
    with channel(locked) as opened:
        end = threading.Event()

        def nothing() -> Iterator[bytes]:
            end.wait(PATIENCE)
            yield from ()

        call = opened.stream_unary(INFER)
        with pytest.raises(grpc.RpcError) as caught:
            call(nothing(), metadata=headers(SHOP), timeout=PATIENCE)
        end.set()
    assert problem(caught.value) == "request_timeout"


def test_a_client_with_many_calls_that_send_nothing_leaves_room_for_others(locked: Live) -> None:
    end = threading.Event()

    def nothing() -> Iterator[bytes]:
        end.wait(PATIENCE)
        yield from ()

    with channel(locked) as hostile, channel(locked) as good:
        calls = [
            hostile.stream_unary(INFER).future(nothing(), metadata=headers(NOISY), timeout=PATIENCE) for _ in range(60)
        ]
        until(lambda: any(call.done() for call in calls))
        assert all(ask(good, REQUEST, SHOP) for _ in range(5))
        end.set()
        errors = [call.exception(PATIENCE) for call in calls]
    codes = {problem(error) for error in errors}
    assert "too_many_under_way" in codes  # it may have half of the calls


def test_a_flood_of_messages_over_the_limit_does_not_stop_others(locked: Live) -> None:
    large = message("cats", bytes(500_000))
    with ExitStack() as stack, channel(locked) as good:
        opened = [stack.enter_context(channel(locked)) for _ in range(4)]
        calls = [
            each.unary_unary(INFER).future(large, metadata=headers(NOISY), timeout=PATIENCE)
            for each in opened
            for _ in range(20)
        ]
        assert all(ask(good, REQUEST, SHOP) for _ in range(5))
        codes = {call.code() for call in calls}
    assert codes <= {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED}


def test_streams_that_stay_open_are_few(locked: Live) -> None:
    with channel(locked) as opened:
        stub = health_pb2_grpc.HealthStub(opened)
        watches = [stub.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE) for _ in range(40)]
        seen = [_first(watch) for watch in watches]
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE).status == 1
        for watch in watches:
            watch.cancel()
    assert (seen.count("SERVING"), seen.count("RESOURCE_EXHAUSTED")) == (32, 8)


def _first(watch: Any) -> str:  # noqa: ANN401 - the stubs have no name for it
    try:
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(next(watch).status))
    except grpc.RpcError as error:
        return str(error.code().name)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 999])
def test_connections_that_speak_something_else_are_closed(locked: Live, sent: bytes) -> None:
    with closing(socket.create_connection(("127.0.0.1", port_of(locked)), timeout=PATIENCE)) as connection:
        connection.sendall(sent)
        with suppress(ConnectionResetError):
            while connection.recv(65536):
                pass


def test_headers_over_the_limit_are_refused(locked: Live) -> None:
    with channel(locked) as opened, pytest.raises(grpc.RpcError) as caught:
        opened.unary_unary(LIVE)(b"", metadata=[("x", "y" * 40_000)], timeout=PATIENCE)
    assert caught.value.code().name == "RESOURCE_EXHAUSTED"


def test_a_large_image_within_the_limit_is_answered(locked: Live) -> None:
    data = encode(picture(3, size=(120, 100)))
    assert 30_000 < len(data) < 59_000
    with channel(locked) as opened:
        assert ask(opened, message("cats", data), SHOP)

"""Clients of the port for gRPC: Triton's own, and bare calls for what it would not send.

A bare channel is Any: the stubs of gRPC know no calls of plain bytes.
"""
# ruff: noqa: ANN401

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.grpc import service_pb2 as pb

from tests.service.live import PATIENCE, Live

INFER = "/inference.GRPCInferenceService/ModelInfer"


def port_of(live: Live) -> int:
    """Where the server speaks gRPC."""
    assert live.server.grpc is not None
    return live.server.grpc.port


@contextmanager
def triton(live: Live) -> Iterator[InferenceServerClient]:
    """Triton's client."""
    with InferenceServerClient(f"127.0.0.1:{port_of(live)}") as client:
        yield client


@contextmanager
def channel(live: Live) -> Iterator[Any]:
    """A bare channel with a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{port_of(live)}", options) as opened:
        yield opened


def ask(opened: Any, message: bytes, key: str = "", method: str = INFER) -> bytes:
    """The answer to the bytes of a message; raises grpc.RpcError."""
    found: bytes = opened.unary_unary(method)(message, timeout=PATIENCE, metadata=headers(key))
    return found


def refusal(opened: Any, message: bytes, key: str = "", method: str = INFER) -> tuple[grpc.StatusCode, str]:
    """The code with which a message is refused, and the problem's code."""
    try:
        ask(opened, message, key, method)
    except grpc.RpcError as error:
        return error.code(), problem(error)
    raise AssertionError("it was answered")


def problem(error: Any) -> str:
    """The code of the problem in an error of gRPC; empty where the server had no say."""
    return str(dict(error.trailing_metadata() or ()).get("mimi-code", ""))


def headers(key: str = "") -> list[tuple[str, str]]:
    """Metadata that shows a key."""
    return [("authorization", f"Bearer {key}")] if key else []


def encoded(*images: bytes) -> InferInput:
    """A tensor of encoded images."""
    tensor = InferInput("image", [len(images)], "BYTES")
    return tensor.set_data_from_numpy(np.array(images, dtype=np.object_))


def message(task: str, *images: bytes, datatype: str = "BYTES") -> bytes:
    """A request with typed contents."""
    request = pb.ModelInferRequest(model_name=task)
    tensor = request.inputs.add(name="image", datatype=datatype, shape=[len(images)])
    tensor.contents.bytes_contents.extend(images)
    found: bytes = request.SerializeToString()
    return found

"""The Open Inference Protocol v2 over gRPC. Its meaning is in `service.oip`.

    wire        bounds what a message may unfold to, before it is parsed
    messages    protobuf messages <-> requests and answers of the protocol
    calls       one call: its client, its key, its bytes, its end; errors as gRPC codes
    reading     memory for messages that arrive, shared between clients
    health      grpc.health.v1, and reflection
    methods     the methods of the service
    server      the port

Messages and their descriptors are those that Triton publishes (grpc_service.proto, BSD-3-Clause), as they come with
`tritonclient`. KServe's protocol is a part of it, under the same names and numbers.

Nothing outside imports this package unless a port for gRPC is set: its libraries are an extra.
"""

"""The Open Inference Protocol v2, whatever carries it.

    schemas     requests and answers
    requests    a request -> images, outputs, timeout, priority
    tensors     the data of one input -> an array, or encoded images
    outputs     a task's outputs -> output tensors; metadata of server and models
    inference   what every carrier does for a request, in the same order

`service.http.v2` carries it over REST, `service.grpc` over gRPC.
"""

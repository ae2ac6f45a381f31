"""The Open Inference Protocol v2 over REST: inference, models, repository.

    schemas     the JSON of requests and answers
    requests    the bytes of a body -> images, outputs, timeout, priority
    tensors     the data of one input -> an array, or encoded images
    responses   a task's outputs -> output tensors -> the bytes of a body; metadata
    docs        bodies and examples for the OpenAPI document
    routes      the endpoints

Sources: the protocol's REST specification (kserve/open-inference-protocol, inference_rest.md), and Triton's extensions
binary_data, classification, schedule_policy and model_repository.
"""

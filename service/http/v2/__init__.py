"""The Open Inference Protocol v2 over REST: inference, models, repository. Its meaning is in `service.oip`.

    bodies      the bytes of a body -> a request; a task's outputs -> the bytes of a body
    docs        bodies and examples for the OpenAPI document
    routes      the endpoints

Sources: the protocol's REST specification (kserve/open-inference-protocol, inference_rest.md), and Triton's extensions
binary_data, classification, schedule_policy and model_repository.
"""

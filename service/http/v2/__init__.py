"""The Open Inference Protocol v2 over REST: requests and answers of inference, and what models say of themselves.

    framing     bytes of a body -> JSON and the binary tensors behind it
    shapes      JSON -> a request that holds what the protocol allows
    tensors     the data of one input -> an array, or encoded images
    questions   a request -> images, outputs, patience
    answers     what a task said -> output tensors -> bytes of a body
    metadata    servers, models, repository

Sources: the protocol's REST specification (kserve/open-inference-protocol, inference_rest.md), and Triton's extensions
binary_data, classification, schedule_policy and model_repository.
"""

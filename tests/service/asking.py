"""Requests for predictions and uploads, in every form."""

import base64
from typing import Any

import httpx2 as httpx
import numpy as np

from service.schemas import ImageResult, PredictAnswer, Prediction
from tests.service.live import Live, encode, picture

Body = dict[str, Any]

IMAGE = picture(5)
PNG = encode(IMAGE)


def answer(response: httpx.Response) -> PredictAnswer:
    assert response.status_code == 200, response.text
    return PredictAnswer.model_validate_json(response.content)


def named(result: ImageResult) -> list[Prediction]:
    """The labels of an answer that has them."""
    assert result.predictions is not None
    return result.predictions


def raw(data: bytes = PNG) -> Body:
    return {"content": data}


def form(*images: bytes, **fields: str) -> Body:
    return {"files": [("image", ("../../x", image)) for image in images], "data": fields}


def json(*images: bytes, **fields: object) -> Body:
    return {"json": {"images": [base64.b64encode(image).decode() for image in images], **fields}}


def predict(live: Live, task: str, body: Body, query: str = "") -> httpx.Response:
    return live.client.post(f"/v1/tasks/{task}/predict{query}", **body)


def probabilities(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits.astype(float) - logits.max())
    return np.asarray(exponents / exponents.sum())


def put(live: Live, task: str, data: bytes) -> httpx.Response:
    return live.client.put(f"/v1/tasks/{task}", content=data)

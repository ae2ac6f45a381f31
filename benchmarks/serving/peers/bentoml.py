"""The model behind BentoML: one worker, its adaptive batching."""

import base64
import os
import sys

import bentoml

from benchmarks.serving.model import BATCH, PORT, Answer, from_environment, number

_LATENCY_MS = 60_000  # it refuses what it expects to take longer


@bentoml.service(workers=1, traffic={"timeout": 60, "max_concurrency": 1024})
class Service:
    """The service for BentoML."""

    def __init__(self) -> None:
        self._model = from_environment()

    @bentoml.api(batchable=True, max_batch_size=int(os.environ.get(BATCH, "1")), max_latency_ms=_LATENCY_MS)  # type: ignore[untyped-decorator]
    def predict(self, images: list[str]) -> list[Answer]:
        """Encoded images in base64; BentoML brings those of several requests together."""
        return self._model.answers([self._model.pixels(base64.b64decode(image)) for image in images])


if __name__ == "__main__":
    module = f"{__spec__.name}:Service" if __spec__ else "bentoml:Service"
    words = ["-m", "bentoml", "serve", module, "--host", "127.0.0.1", "--port", str(number(PORT))]
    os.execv(sys.executable, [sys.executable, *words])

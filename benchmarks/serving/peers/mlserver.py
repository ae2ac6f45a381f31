"""The model behind MLServer: its adaptive batching, the Open Inference Protocol with BYTES, all in one process."""

import asyncio
import base64
import json
from collections.abc import Iterable

from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from benchmarks.serving.model import BATCH, PORT, Model, from_environment, number

NAME = "model"
_BATCH_SECONDS = 0.005


class Served(MLModel):  # type: ignore[misc]
    """The model that MLServer calls."""

    _model: Model

    async def load(self) -> bool:
        """Load the model."""
        self._model = from_environment()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Encoded images in base64 in one BYTES tensor; the answers as JSON in another."""
        pixels = [self._model.pixels(base64.b64decode(text)) for text in _texts(payload)]
        answers = [json.dumps(answer) for answer in self._model.answers(pixels)]
        output = ResponseOutput(name="predictions", shape=[len(answers)], datatype="BYTES", data=answers)
        return InferenceResponse(model_name=self.name, outputs=[output])


def _texts(payload: InferenceRequest) -> Iterable[str]:
    return (text.decode() if isinstance(text, bytes) else text for text in payload.inputs[0].data)


async def main() -> None:
    """Serve until killed."""
    settings = Settings(
        host="127.0.0.1",
        http_port=number(PORT),
        grpc_port=number(PORT) + 1,
        metrics_port=number(PORT) + 2,
        parallel_workers=0,  # with one, its worker does not start beside a present uvloop
        debug=False,
        load_models_at_startup=False,
    )
    model = ModelSettings(name=NAME, implementation=Served, max_batch_size=number(BATCH), max_batch_time=_BATCH_SECONDS)
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(main())

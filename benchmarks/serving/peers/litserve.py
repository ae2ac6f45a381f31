"""The model behind LitServe: one worker, its documented way of batching. JSON with base64, as in its image examples."""

import base64
from collections.abc import Sequence

import litserve
from torch import Tensor

from benchmarks.serving.model import BATCH, PORT, Answer, Model, from_environment, number

# Zero, the default, makes its worker spin on an empty queue, which on few cores is worse for it than this.
_BATCH_SECONDS = 0.002


class Api(litserve.LitAPI):  # type: ignore[misc]
    """The API that LitServe calls in its worker process."""

    _model: Model

    def setup(self, device: str) -> None:
        """Load the model, in the worker."""
        self._model = from_environment()

    def decode_request(self, request: dict[str, str]) -> Tensor:
        """One image."""
        return self._model.pixels(base64.b64decode(request["image"]))

    def batch(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """Stacked later, with the normalisation."""
        return inputs

    def predict(self, x: Sequence[Tensor]) -> list[Answer]:
        """One forward pass."""
        return self._model.answers(x)

    def unbatch(self, output: list[Answer]) -> list[Answer]:
        """An answer for each image."""
        return output

    def encode_response(self, output: Answer) -> Answer:
        """It is JSON already."""
        return output


if __name__ == "__main__":
    api = Api(max_batch_size=number(BATCH), batch_timeout=_BATCH_SECONDS)
    server = litserve.LitServer(api, accelerator="cpu", devices=1, workers_per_device=1, timeout=60)
    server.run(host="127.0.0.1", port=number(PORT), num_api_servers=1, generate_client_file=False, log_level="warning")

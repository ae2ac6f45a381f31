"""The model behind Ray Serve: one proxy, one replica, its own batching."""

import os
import signal

import ray
from ray import serve
from starlette.requests import Request

from benchmarks.serving.model import BATCH, PORT, THREADS, Answer, from_environment, number

_BATCH_SECONDS = 0.005
_UNDER_WAY = 1024  # requests: the default of 5 would be smaller than a batch
_VARIABLES = ("PYTHONPATH", "OMP_NUM_THREADS", "BENCHMARK_SCENE", BATCH, PORT, THREADS)


@serve.deployment(num_replicas=1, max_ongoing_requests=_UNDER_WAY, ray_actor_options={"num_cpus": 1})
class Served:
    """The deployment that Ray Serve calls."""

    def __init__(self) -> None:
        self._model = from_environment()

    @serve.batch(max_batch_size=int(os.environ.get(BATCH, "1")), batch_wait_timeout_s=_BATCH_SECONDS)  # type: ignore[untyped-decorator]
    async def _predict(self, images: list[bytes]) -> list[Answer]:
        return self._model.answers([self._model.pixels(image) for image in images])

    async def __call__(self, request: Request) -> Answer:
        """One image, as it is."""
        answer: Answer = await self._predict(await request.body())
        return answer


if __name__ == "__main__":
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        configure_logging=False,
        runtime_env={"env_vars": {name: os.environ[name] for name in _VARIABLES}},
    )
    serve.start(http_options={"host": "127.0.0.1", "port": number(PORT)})
    serve.run(Served.bind(), route_prefix="/")  # type: ignore[attr-defined]
    signal.pause()

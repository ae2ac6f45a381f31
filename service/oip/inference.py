"""The steps that every carrier of the protocol takes for a request, in the same order. Knows no wire.

A carrier lets the client in, counts the request as a prediction, and calls `resolve` as soon as it knows the task:
over HTTP before the images travel. Then it calls `infer`.

A task that is unloaded is unloaded on this server only: the store and other servers do not hear of it. That lasts,
whatever is published meanwhile, until the task is loaded again or the process ends.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter

from service.errors import NotReady, TaskUnavailable
from service.inputs.stickiness import hash_of
from service.metrics.counters import AskedTask, RequestRecord
from service.oip.models import model_config, model_metadata
from service.oip.outputs import chosen
from service.oip.requests import InputLimits, ParsedRequest
from service.oip.schemas import ModelConfig, ModelMetadata
from service.prediction.predict import Outputs
from service.service import Service
from service.tasks.targets import Target


@dataclass(frozen=True, slots=True, eq=False)
class Inference:
    """A request as it was understood, and the outputs of its one task."""

    parsed: ParsedRequest
    outputs: Outputs


async def resolve(service: Service, record: RequestRecord, target: Target) -> None:
    """Find the version that answers a request.

    Raises:
        UnknownTask, NotFound, TaskUnavailable, StoreError: as of `Targets.named`.
    """
    record.asked = [AskedTask(await service.targets.named(target))]


async def infer(
    service: Service,
    record: RequestRecord,
    parse: Callable[[InputLimits], ParsedRequest],
    *,
    seconds: float | None = None,
    by_image: Target | None = None,
) -> Inference:
    """Answer a request whose version is known, and note what that executed.

    Args:
        service: the running server.
        record: as `resolve` left it.
        parse: makes the request from its bytes; runs in a thread.
        seconds: what is left of the client's time, where the carrier knows it.
        by_image: the target, if the hash of the images chooses the version of its canary.

    Raises:
        InvalidInference, or whatever `parse` raises; ImageError, Overloaded, EngineError, TaskUnavailable and
        NonFiniteOutput as of `Predictor.predict` and `Targets.ready`.
    """
    limits = InputLimits(service.settings.images_per_request, service.engine.backbone.preprocessing.size)
    parsed = await service.decoder.offload(lambda: parse(limits))
    if by_image is not None:
        key = await service.decoder.offload(lambda: hash_of(parsed.images))
        await resolve(service, record, replace(by_image, key=key))
    (asked,) = record.asked
    served = await service.targets.ready([asked.named])
    chosen(parsed, served[0].manifest)  # an output that the task does not have is refused before anything is computed
    patience = [each for each in (seconds, parsed.seconds) if each is not None]
    outputs = await service.predictor.predict(
        served,
        parsed.images,
        seconds=min(patience, default=None),
        priority=parsed.priority,
        client=record.client,
    )
    asked.results = outputs.tasks[0].results
    record.decoding, record.computed = outputs.decode_seconds, perf_counter()
    return Inference(parsed, outputs)


async def metadata(service: Service, target: Target) -> ModelMetadata:
    """A task as a model.

    Raises:
        As `resolve`, and as `Targets.ready`.
    """
    (served,) = await service.targets.ready([await service.targets.named(target)])
    state = await service.reads.run(lambda: service.catalogue.task(target.task))
    return model_metadata(served, state.versions, service.engine.backbone)


async def config(service: Service, target: Target) -> ModelConfig:
    """A task in the words of Triton's model configuration.

    Raises:
        As `metadata`.
    """
    (served,) = await service.targets.ready([await service.targets.named(target)])
    state = await service.reads.run(lambda: service.catalogue.task(target.task))
    most = service.settings.images_per_request
    return model_config(served, state.versions, service.engine.backbone, most=most)


def is_ready(service: Service) -> bool:
    """Whether this server takes work."""
    return service.readiness.ready


async def answers(service: Service, target: Target) -> bool:
    """Whether a task answers here; its weights are loaded for it.

    Raises:
        UnknownTask, NotFound: there is no such task or version.
    """
    try:
        service.readiness.check()
        await service.targets.ready([await service.targets.named(target)])
    except (NotReady, TaskUnavailable):
        return False
    return True


async def load(service: Service, task: str) -> None:
    """Serve a task here (again), as the store has it now.

    Raises:
        UnknownTask, TaskUnavailable, StoreError, UploadBacklog: see errors.py.
    """
    await service.registrar.change(lambda: service.registry.resume(task))
    entry = service.registry.table[task]
    if entry.reason is not None:
        raise entry.live.unavailable()


async def unload(service: Service, task: str) -> None:
    """Stop serving a task on this server and evict its weights, until it is loaded again.

    Raises:
        UnknownTask, UploadBacklog: see errors.py.
    """
    await service.registrar.change(lambda: service.registry.suspend(task))

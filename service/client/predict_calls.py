"""Predictions as calls."""

from collections.abc import Sequence
from typing import Literal

from service.client.calls import Call, Shape, document
from service.client.errors import InvalidArgument
from service.client.inputs import Images, alias_path, encoded, task_path, version_path
from service.schemas import ALL_TASKS, FanoutAnswer, Output, PredictAnswer

_BYTES = {"Content-Type": "application/octet-stream"}  # the server judges an image by its bytes


def predict(
    task: str,
    images: Images,
    *,
    top_k: int | None = None,
    output: Output | None = None,
    threshold: float | None = None,
    at: int | str | None = None,
) -> Call[PredictAnswer]:
    """Classify one or more images by one task.

    Args:
        task: its id.
        images: one, or several in a sequence: bytes of a JPEG, PNG or WebP file, a path to one, a file open for bytes,
            a Pillow image (upright by its EXIF orientation), or an array of uint8 (height, width, channels).
        top_k: the number of labels to name, best first; None: the server's default.
        output: "probabilities", "logits" or "features"; None: probabilities.
        threshold: probability from which on a label is given, 0 to 1; None: those of the task's file.
        at: the number of the version to ask, or the name of an alias; None: `live`.

    Raises:
        InvalidArgument: no image, something else than an image, or a malformed name.
        OSError: a file cannot be read.
    """
    path = task_path(task)
    if isinstance(at, int):
        path = version_path(task, at)
    elif at is not None:
        path = alias_path(task, at)
    return _asking(f"{path}/predict", PredictAnswer, _options(top_k, output, threshold), images)


def predict_many(
    tasks: Sequence[str] | Literal["all"],
    images: Images,
    *,
    top_k: int | None = None,
    output: Output | None = None,
    threshold: float | None = None,
) -> Call[FanoutAnswer]:
    """Classify the same images by many tasks. The server computes their common trunk once.

    Args:
        tasks: their ids; "all": every task that is served.
        images, top_k, output, threshold: as for one task.

    Raises:
        InvalidArgument: no task, no image, or a malformed name.
        OSError: a file cannot be read.
    """
    names = [ALL_TASKS] if isinstance(tasks, str) else list(tasks)
    if not names or (isinstance(tasks, str) and tasks != ALL_TASKS):
        raise InvalidArgument('tasks: give a sequence of task ids, or "all"')
    for name in names:
        task_path(name)
    query = (*(("tasks", name) for name in names), *_options(top_k, output, threshold))
    return _asking("/v1/predict", FanoutAnswer, query, images)


def _asking(path: str, shape: type[Shape], query: tuple[tuple[str, str], ...], images: Images) -> Call[Shape]:
    """One image is the body itself, several are a form: neither is larger than the images, as base64 would be."""
    files = encoded(images)
    if len(files) > 1:
        return Call("POST", path, document(shape), query=query, images=files)
    return Call("POST", path, document(shape), query=query, headers=_BYTES, content=files[0])


def _options(top_k: int | None, output: Output | None, threshold: float | None) -> tuple[tuple[str, str], ...]:
    given = {"top_k": top_k, "output": output, "threshold": threshold}
    return tuple((name, str(value)) for name, value in given.items() if value is not None)

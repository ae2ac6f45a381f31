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
    version: int | None = None,
    alias: str | None = None,
) -> Call[PredictAnswer]:
    """Classify one or more images by one task.

    Args:
        task: its id.
        images: one, or several in a sequence: bytes of a JPEG, PNG or WebP file, a path to one, a file open for bytes,
            a Pillow image (upright by its EXIF orientation), or an array of uint8 (height, width, channels).
        top_k: the number of labels to name, best first; None: the server's default.
        output: "probabilities", "logits" or "features"; None: probabilities.
        version: the version to ask; None: the one behind `alias`.
        alias: the alias to ask; None: `live`.

    Raises:
        InvalidArgument: both version and alias, no image, something else than an image, or a malformed name.
        OSError: a file cannot be read.
    """
    if version is not None and alias is not None:
        raise InvalidArgument("give a version or an alias, not both")
    path = task_path(task)
    if version is not None:
        path = version_path(task, version)
    elif alias is not None:
        path = alias_path(task, alias)
    return _asking(f"{path}/predict", PredictAnswer, _options(top_k, output), images)


def predict_many(
    tasks: Sequence[str] | Literal["all"],
    images: Images,
    *,
    top_k: int | None = None,
    output: Output | None = None,
) -> Call[FanoutAnswer]:
    """Classify the same images by many tasks. The server computes their common trunk once.

    Args:
        tasks: their ids; "all": every task that is served.
        images, top_k, output: as for one task.

    Raises:
        InvalidArgument: no task, no image, or a malformed name.
        OSError: a file cannot be read.
    """
    names = [ALL_TASKS] if isinstance(tasks, str) else list(tasks)
    if not names or (isinstance(tasks, str) and tasks != ALL_TASKS):
        raise InvalidArgument('tasks: give a sequence of task ids, or "all"')
    for name in names:
        task_path(name)
    query = (*(("tasks", name) for name in names), *_options(top_k, output))
    return _asking("/v1/predict", FanoutAnswer, query, images)


def _asking(path: str, shape: type[Shape], query: tuple[tuple[str, str], ...], images: Images) -> Call[Shape]:
    """One image is the body itself, several are a form: neither is larger than the images, as base64 would be."""
    files = encoded(images)
    if len(files) > 1:
        return Call("POST", path, document(shape), query=query, images=files)
    return Call("POST", path, document(shape), query=query, headers=_BYTES, content=files[0])


def _options(top_k: int | None, output: Output | None) -> tuple[tuple[str, str], ...]:
    given = {"top_k": top_k, "output": output}
    return tuple((name, str(value)) for name, value in given.items() if value is not None)

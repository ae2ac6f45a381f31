"""`mimi feedback export`: a training set made of corrections."""

import io
import json as json_
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mimi.connection import Connection
from mimi.errors import BadOption, UnwritableFile
from mimi.help import Command, Group
from mimi.parameters import Json, expanded

if TYPE_CHECKING:
    from service.client import Client

_NAMES = {"help_option_names": ["-h", "--help"]}
_SOURCE = "the file of `mimi serve --feedback`, or the address of a server (key: MIMI_FEEDBACK_KEY or MIMI_MANAGE_KEY)"
_OUT = "a new folder with one folder for each class, or a file that ends in .parquet"
_PAGE = 100  # corrections
_SUFFIXES = ((b"\x89PNG", ".png"), (b"\xff\xd8\xff", ".jpg"), (b"RIFF", ".webp"))

feedback = typer.Typer(
    cls=Group,
    add_completion=False,
    no_args_is_help=True,
    context_settings=_NAMES,
    help="Make a training set of the corrections that a server has taken.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which corrections.

    Attributes:
        task: of this task; none: of all, which a file alone allows.
    """

    task: str | None = None


@dataclass(frozen=True, slots=True)
class Corrected:
    """An image with its right labels, and what the task had said."""

    image: bytes
    labels: tuple[str, ...]
    predicted: str
    probability: float
    unknown_score: float | None


@feedback.callback()
def _feedback() -> None:
    pass


def _export(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=_SOURCE)],
    out: Annotated[Path, typer.Argument(metavar="OUT", help=_OUT)],
    choice: Annotated[Choice, "Options"],
    server: Annotated[Connection, "Server"],
    json: Json = False,
) -> int:
    """Write corrections as a training set: unknown images first, then uncertain ones; nothing is deleted."""
    from mimi.terminal import print_json

    found = list(_asked(source, choice.task, server) if "://" in source else _read(Path(source), choice.task))
    if not found:
        raise BadOption(f"{source}: there are no corrections")
    _write_parquet(found, out) if out.suffix == ".parquet" else _write_folders(found, out)
    labels = sorted({label for each in found for label in each.labels})
    if json:
        print_json({"out": str(out), "images": len(found), "labels": labels})
    else:
        wrong = sum(each.labels != (each.predicted,) for each in found)
        print(f"{out}: {len(found)} images of {len(labels)} classes; {wrong} of them had been answered wrongly")
    return 0


feedback.command("export", cls=Command, context_settings=_NAMES)(expanded(_export))


def _read(path: Path, task: str | None) -> Iterator[Corrected]:
    """The corrections in a file."""
    from service.errors import FeedbackUnavailable
    from service.feedback.storage import FeedbackFile

    if not path.is_file():
        raise BadOption(f"{path}: no such file; an address begins with http:// or https://")
    try:
        file = FeedbackFile(path, most_images=1, most_bytes=1)  # bounds of what is added; nothing is
    except FeedbackUnavailable as error:
        raise BadOption(f"{path}: {error}") from error
    for each in file.list(task, limit=-1):
        said = each.opinion
        image = file.image(each.task, each.id)
        yield Corrected(image, each.labels, said.label, said.probability, said.unknown_score)


def _asked(address: str, task: str | None, server: Connection) -> Iterator[Corrected]:
    """The corrections of a server's task."""
    from service.client.calls import Call

    if task is None:
        raise BadOption("a server is asked about one task: name it with --task")
    path = f"/v1/tasks/{task}/feedback"
    with _client(address, server) as client:
        offset = 0
        while True:
            query = (("limit", str(_PAGE)), ("offset", str(offset)))
            listed: list[dict[str, Any]] = client.send(
                Call("GET", path, lambda reply: json_.loads(reply.body)["corrections"], query=query)
            )
            for each in listed:
                image = client.send(Call("GET", f"{path}/{each['id']}/image", lambda reply: reply.body))
                said = each["predicted"], each["probability"], each["unknown_score"]
                yield Corrected(image, tuple(each["labels"]), *said)
            offset += len(listed)
            if len(listed) < _PAGE:
                return


def _client(address: str, server: Connection) -> "Client":
    return replace(server, url=address).client(key=os.environ.get("MIMI_FEEDBACK_KEY"))


def _write_folders(found: list[Corrected], out: Path) -> None:
    """A folder for each class; the names of the images keep their order.

    Raises:
        BadOption: the folder is not empty, an image has not exactly one label, or a label is no name of a folder.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadOption(f"{out}: it is there already; choose a new folder")
    for each in found:
        if len(each.labels) != 1 or each.labels[0] in (".", "..") or set(each.labels[0]) & set("/\\:\0"):
            raise BadOption(f"labels {list(each.labels)} make no folder: write a .parquet file")
    try:
        for index, each in enumerate(found):
            folder = out / each.labels[0]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{index:06}{_suffix(each.image)}").write_bytes(each.image)
    except OSError as error:
        raise UnwritableFile(f"{out}: {error.strerror}") from error


def _suffix(image: bytes) -> str:
    return next((suffix for start, suffix in _SUFFIXES if image.startswith(start)), ".img")


def _write_parquet(found: list[Corrected], out: Path) -> None:
    """A Parquet file in the layout of Hugging Face, which `mimi train` reads."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from mimi.files import write_file

    several = any(len(each.labels) != 1 for each in found)
    images = [{"bytes": each.image, "path": f"{index:06}{_suffix(each.image)}"} for index, each in enumerate(found)]
    columns = {
        "image": pa.array(images, pa.struct({"bytes": pa.binary(), "path": pa.string()})),
        "label": pa.array([list(each.labels) if several else each.labels[0] for each in found]),
        "predicted": pa.array([each.predicted for each in found]),
        "probability": pa.array([each.probability for each in found]),
        "unknown_score": pa.array([each.unknown_score for each in found], pa.float64()),
    }
    written = io.BytesIO()
    pq.write_table(pa.table(columns), written)
    write_file(out, written.getvalue())

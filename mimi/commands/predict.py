"""`mimi predict TASK IMAGE...`: many images, a file's own engine or a server, and an output that a later run continues.

An image that cannot be read or is refused becomes a row with an error. An error that concerns every image ends the run,
such as a lost server or a wrong key.
"""

from collections.abc import Sequence
from typing import Annotated

import typer

from mimi.answers import Output, format_of, summary
from mimi.askers import Asker, Asking, Here, Remote, Run
from mimi.connection import Connection
from mimi.errors import BadOption
from mimi.images import Columns, find_images
from mimi.local import Computing, is_here, opened, read_task
from mimi.terminal import progress, say, working

_IMAGES = "files, folders, patterns, FILE.csv (a column of paths), FILE.parquet (a column of images), or - for stdin"
_TASK = "a task adapter file, the name of a task that ships, or with --url a task of a server; several between commas"


def predict(
    task: Annotated[str, typer.Argument(metavar="TASK", help=_TASK)],
    images: Annotated[list[str], typer.Argument(metavar="IMAGE", help=_IMAGES)],
    asking: Annotated[Asking, "Options"],
    server: Annotated[Connection, "Server"],
    computing: Annotated[Computing, "Computing here"],
    json: Annotated[bool, typer.Option("--json", help="the same as --format jsonl")] = False,
) -> int:
    """Ask a task about images, here or on a server; 1 if an image has no answer.

    A file is answered by an engine in this process; --url asks a server. Answers are a table, JSON Lines, CSV or
    Parquet. An image that cannot be read is a row with an error. With --output, the same command continues a run that
    was stopped: an image with the same path and content is not asked again.
    """
    if json and asking.format not in (None, "jsonl"):
        raise BadOption(f"--json and --format {asking.format} contradict each other")
    chosen = format_of(asking.output, "jsonl" if json else asking.format)
    pictures = find_images(images, Columns(asking.path_column, asking.image_column))
    words = [word for word in task.split(",") if word]
    asker = _asker(words, asking, server, computing)
    output = Output(asking.output, chosen, current=asker.answers_as)
    run, complete = Run(output, asker.tasks), False
    try:
        with progress(len(pictures), "images") as run.counted:
            asker.ask(pictures, run)
        complete = True
    except KeyboardInterrupt:
        if asking.output:
            say("interrupted: the same command goes on where this run stopped")
        raise
    finally:
        output.close(complete=complete)
    counted = run.counted
    say(summary(counted.done - run.skipped, counted.failed, run.skipped, counted.seconds))
    return 1 if counted.failed else 0


def _asker(words: Sequence[str], asking: Asking, server: Connection, computing: Computing) -> Asker:
    """A server where --url names one; else files, and where MIMI_URL is set, its tasks for names that are no files."""
    if not words:
        raise BadOption("name a task")
    here = server.url is None and (server.named is None or all(map(is_here, words)))
    if not here:
        return Remote(words, asking, server)
    if asking.version is not None or asking.alias is not None:
        raise BadOption("--version and --alias are of a server's tasks: name the server with --url")
    with working("loading the backbone"):
        return Here(opened([read_task(word) for word in words], computing), asking)

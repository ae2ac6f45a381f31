"""`mimi publish FILE`: uploads a task adapter file to a running server."""

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.schemas import UploadAnswer

HELP = "upload a task adapter file to a running server, where it is live at once"


_OF_A_RUN = re.compile(r"adapter|size-\d+")  # names that `mimi train` gives to the files of every run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("file", type=Path, help="a task adapter file, as `mimi train` writes it")
    parser.add_argument(
        "--task", help="task id to publish it as [the file's name; that of its data set for the files of a run]"
    )
    parser.add_argument("--dry-run", action="store_true", help="have the server check everything, publish nothing")
    parser.add_argument("--no-activate", action="store_true", help="publish a version, leave the live one as it is")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server's address (default: %(default)s)")
    parser.add_argument("--ca", type=Path, help="trust servers of these authorities over HTTPS (a file in PEM)")
    parser.add_argument("--certificate", type=Path, help="our own certificate, for a server that asks for one")
    parser.add_argument("--certificate-key", type=Path, help="its private key (default: in the same file)")


def run(options: argparse.Namespace) -> int:
    """Upload the file, and print its checks and its version. The key comes from MIMI_MANAGE_KEY."""
    from mimi.files import read_file
    from service.client import Client, trusting

    data = read_file(options.file)
    task = options.task or _task_of(options.file.stem, data)
    tls = None
    if options.ca or options.certificate:
        tls = trusting(options.ca, certificate=options.certificate, certificate_key=options.certificate_key)
    with Client(options.url, key=os.environ.get("MIMI_MANAGE_KEY") or None, tls=tls) as client:
        answer = client.upload(task, data, activate=not options.no_activate, dry_run=options.dry_run)
    for check in answer.checks:
        print(f"{check.outcome:8} {check.name:14} {check.detail}".rstrip())
    print(f"{task} version {answer.version} ({_state(answer)})  sha256 {answer.sha256}")
    if answer.active and not answer.dry_run:
        print(f"ask it: curl --data-binary @image.png {options.url.rstrip('/')}/v1/tasks/{task}/predict")
    return 0


def _task_of(stem: str, data: bytes) -> str:
    """The file's name; for the names that every run gives to its files, that of the data set it was trained on."""
    from adapters_store import unpack
    from adapters_store.errors import ArtifactError
    from mimi.files import slug

    if not _OF_A_RUN.fullmatch(stem):
        return stem
    try:
        return slug(unpack(data).manifest.provenance.dataset)
    except ArtifactError:  # the server says what is wrong with it
        return stem


def _state(answer: "UploadAnswer") -> str:
    """The result of the upload in a few words."""
    if answer.dry_run:
        return "would be new; nothing was published" if answer.created else "is there already; nothing was published"
    state = "new" if answer.created else "was there already"
    return f"{state}, and is live" if answer.active else f"{state}, and not live"

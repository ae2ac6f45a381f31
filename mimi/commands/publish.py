"""`mimi publish FILE`: uploads a task adapter file to a running server."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.schemas import UploadAnswer

HELP = "upload a task adapter file to a running server, where it is live at once"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("file", type=Path, help="a task adapter file, as `mimi train` writes it")
    parser.add_argument("--task", help="task id to publish it as (default: the file's name without its ending)")
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
    task = options.task or options.file.stem
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


def _state(answer: "UploadAnswer") -> str:
    """The result of the upload in a few words."""
    if answer.dry_run:
        return "would be new; nothing was published" if answer.created else "is there already; nothing was published"
    state = "new" if answer.created else "was there already"
    return f"{state}, and is live" if answer.active else f"{state}, and not live"

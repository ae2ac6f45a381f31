"""`mimi publish FILE`: upload a task adapter file to a running server."""

import argparse
import os
from pathlib import Path

HELP = "upload a task adapter file to a running server, where it is live at once"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("file", type=Path, help="a task adapter file, as `mimi train` writes it")
    parser.add_argument("--task", help="task id to publish it as (default: the file's name without its ending)")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server's address (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Upload, and say what became of it; a key is taken from MIMI_MANAGE_KEY."""
    from mimi.client import Client
    from mimi.files import read_file

    data = read_file(options.file)
    task = options.task or options.file.stem
    with Client(options.url, key=os.environ.get("MIMI_MANAGE_KEY")) as client:
        answer = client.publish(task, data)
    state = "new" if answer["created"] else "was there already, and is live"
    print(f"{task} version {answer['version']} ({state})  sha256 {answer['sha256']}")
    print(f"ask it: curl --data-binary @image.png {options.url.rstrip('/')}/v1/tasks/{task}/predict")
    return 0

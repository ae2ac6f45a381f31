"""The demo's steps, in their order. The modules beside this one do the work."""

import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mimi.client import Client, Document
from mimi.demo.questions import (
    DIGIT_TASKS,
    OwnImages,
    Reply,
    ask_all,
    digit_questions,
    own_questions,
    read_own,
    shuffled,
)
from mimi.demo.results import Check, answer_table, check_all, task_table
from mimi.demo.server import Server, running_server
from training.data import load_data

TASK = DIGIT_TASKS[0]
SHOWN = 32  # answers in a table; all of them count


def run_demo(*, port: int, data: str | None, leave: bool) -> int:
    """Start a server, train, publish, ask, judge. The server then stays up until Ctrl-C, unless `leave` is set.

    Returns:
        0 if every check holds, else 1.
    """
    begun = time.perf_counter()
    own = read_own(data) if data else None
    with tempfile.TemporaryDirectory(prefix="mimi-demo-") as name:
        folder = Path(name)
        _say("1/5 starting a server over a fresh store")
        with running_server(folder, port=port) as server:
            met = _steps(server, folder, own)
            _say(f"done in {time.perf_counter() - begun:.0f} s" + ("" if met else ", with failed expectations"))
            if not leave:
                _stay(server)
    return 0 if met else 1


def _steps(server: Server, folder: Path, own: OwnImages | None) -> bool:
    with Client(server.url) as client:
        labels = {name: task["labels"] for name, task in _served(client).items()}
        print(f"{server.url} serves {', '.join(labels)}")
        more = own_questions(own, labels) if own else []
        _say(f"2/5 training {TASK} with MiMi, on the CPU")
        adapter = _train(folder / "run")
        _say(f"3/5 uploading {TASK} ({len(adapter):,} bytes) to the running server")
        published = client.publish(TASK, adapter)
        print(f"live as version {published['version']}, sha256 {published['sha256']}")
        print(f"the server recomputed its golden sample: off by {published['golden']['engine']:.1e}")
        _say("4/5 asking every task about held-back images, mixed, from eight clients at once")
        tasks = _served(client)
        questions = digit_questions(sorted(set(tasks) - set(DIGIT_TASKS)))
        replies = ask_all(client, shuffled([*more, *questions]))
        _show([reply for reply in replies if reply.question in more])
        _show([reply for reply in replies if reply.question not in more])
        print(f"By task:\n\n{task_table(replies)}\n")
        _say("5/5 what had to be true")
        return _judge(check_all(replies, tasks, published))


def _train(folder: Path) -> bytes:
    """Train the demo's task adapter, print the table of sizes, and return the file."""
    from backbone import load_backbone  # these take seconds to import, so the server starts first
    from training.cycles import results_table
    from training.mimi import Job, train_mimi
    from training.prepare import prepare
    from training.presets import DEMO
    from training.progress import Console

    backbone = load_backbone()
    data = load_data(TASK)
    prepared = prepare(data, backbone.preprocessing, validation=DEMO.validation, seed=DEMO.seed)
    outcome = train_mimi(Job(prepared, backbone, DEMO, folder, Console(sys.stdout)))
    print(results_table(outcome.results))
    return outcome.adapter


def _served(client: Client) -> dict[str, Document]:
    """The document of each task that the server can serve."""
    return {entry["task"]: client.task(entry["task"]) for entry in client.tasks() if entry["ready"]}


def _show(replies: Sequence[Reply]) -> None:
    """Print the first answers, in the order in which they were asked."""
    if replies:
        print(answer_table(replies[:SHOWN]))
        print(f"… and {max(0, len(replies) - SHOWN)} more\n")


def _judge(checks: list[Check]) -> bool:
    for check in checks:
        print(f"{'✓' if check.holds else '✗ FAILED:'} {check.sentence}")
    return all(check.holds for check in checks)


def _stay(server: Server) -> None:
    _say(f"the server stays up at {server.url} until Ctrl-C; try")
    print(
        f"    curl {server.url}/v1/tasks/{TASK}\n    curl --data-binary @image.png {server.url}/v1/tasks/{TASK}/predict"
    )
    with suppress(KeyboardInterrupt):
        server.wait()
    _say("stopping the server")


def _say(text: str) -> None:
    print(f"==> {text}", flush=True)

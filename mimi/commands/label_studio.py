"""`mimi label-studio`: an ML backend for Label Studio, in front of a server."""

import os
from dataclasses import dataclass
from typing import Annotated

import typer

from mimi.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Where Label Studio is, and where it finds this backend. Secrets come from variables.

    Attributes:
        host: address to listen on.
        port: to listen on.
        studio: Label Studio's address, where its images are fetched with LABEL_STUDIO_API_KEY.
        images_from: other origins of images, between commas, such as https://bucket.example.
    """

    host: str = "127.0.0.1"
    port: int = 9090
    studio: Annotated[str | None, "URL"] = None
    images_from: tuple[str, ...] = ()


def label_studio(
    task: Annotated[str, typer.Argument(metavar="TASK", help="the task that answers and takes corrections")],
    backend: Annotated[Backend, "Backend"],
    server: Annotated[Connection, "Server"],
) -> int:
    """Offer a server's task to Label Studio as an ML backend: pre-annotations, and annotations as corrections.

    Keys of the server: MIMI_PREDICT_KEY and MIMI_FEEDBACK_KEY, or MIMI_MANAGE_KEY. With MIMI_LABEL_STUDIO_PASSWORD
    Label Studio must send this password by HTTP Basic.
    """
    import uvicorn

    from mimi.label_studio import Bridge, application
    from service.client import RetryPolicy

    policy = RetryPolicy()
    bridge = Bridge(
        client=server.asynchronous(policy),
        correcting=server.asynchronous(policy, key=os.environ.get("MIMI_FEEDBACK_KEY")),
        task=task,
        studio=backend.studio and backend.studio.rstrip("/"),
        token=os.environ.get("LABEL_STUDIO_API_KEY"),
        origins=backend.images_from,
        password=os.environ.get("MIMI_LABEL_STUDIO_PASSWORD"),
    )
    print(f"ML backend of {task}: http://{backend.host}:{backend.port}", flush=True)
    uvicorn.run(application(bridge), host=backend.host, port=backend.port, log_level="warning")
    return 0

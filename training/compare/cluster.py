"""Spreads the cells of a comparison over a Ray cluster: each is a task of its own in some worker.

Ray chooses workers by the cores and GPUs that are free. It repeats the task of a worker that died; the cell then goes
on from its checkpoint. Knows neither methods nor data sets.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, TypeVar

from training.errors import BadConfig
from training.options import CompareRequest

Job = TypeVar("Job")

LOCAL = "local"
_REPEATS = 3  # of a task whose worker died: one that always dies, for want of memory say, must end


def check(request: CompareRequest) -> None:
    """See that a comparison can use a cluster.

    Raises:
        BadConfig: Ray is not installed, or the device has a number.
    """
    if find_spec("ray") is None:
        raise BadConfig("--ray needs further packages: pip install 'mimi-serving[ray]'")
    if request.device is not None and ":" in request.device:
        raise BadConfig(f"--device {request.device}: on a cluster a device has no number, because Ray chooses it")


def spread(
    jobs: Sequence[Job],
    do: Callable[[Job, bool], bool],
    done: Callable[[Job], bool],
    request: CompareRequest,
    say: Callable[[str], None],
) -> bool:
    """Do all jobs in workers of the cluster that `request` names; True if none failed.

    A job that is left, because another one holds what it needs, is done again behind the others, with patience.

    Args:
        jobs: values that can be pickled.
        do: called in a worker with a job and whether to be patient; returns whether the job failed.
        done: whether a job needs no second call.
        request: names the cluster, the device, and the cores of a job.
        say: is called with a line about each job whose workers died.

    Raises:
        BadConfig: there is no such cluster. Errors of `do` are raised too.
    """
    import ray  # noqa: PLC0415 - an extra, and its import takes a second
    from ray.exceptions import NodeDiedError, OutOfMemoryError, WorkerCrashedError  # noqa: PLC0415

    with _connected(request):
        gpus = int(request.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0)
        task = ray.remote(num_cpus=request.cell_cpus, num_gpus=gpus, max_retries=_REPEATS)(do)
        under_way = {task.remote(job, False): (job, False) for job in jobs}
        every = True
        while under_way:
            (ended, *_), _ = ray.wait(list(under_way))
            job, patient = under_way.pop(ended)
            try:
                failed = ray.get(ended)
            except (NodeDiedError, OutOfMemoryError, WorkerCrashedError) as error:
                say(f"{job} has no result: {_REPEATS + 1} workers died of it ({type(error).__name__})")
                failed = True
            every &= not failed
            if not (failed or patient or done(job)):
                under_way[task.remote(job, True)] = (job, True)
        return every


@contextmanager
def _connected(request: CompareRequest) -> Iterator[None]:
    """The cluster that `request` names, while the block runs."""
    import ray  # noqa: PLC0415 - see `spread`

    own: dict[str, Any] = {"include_dashboard": False} if request.ray == LOCAL else {}
    try:
        ray.init(address=request.ray, logging_level="WARNING", **own)
    except (ConnectionError, ValueError) as error:
        raise BadConfig(f"--ray {request.ray}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()

"""Spreads the cells of a comparison over a Ray cluster: each is a task of its own in some worker.

Ray chooses workers by the cores and GPUs that are free. It repeats the task of a worker that died; the cell then goes
on from its checkpoint. Knows neither methods nor data sets.
"""

from collections.abc import Callable, Sequence
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

    try:
        ray.init(**_cluster(request))
    except (ConnectionError, ValueError) as error:
        raise BadConfig(f"--ray {request.ray}: {error}") from error
    try:
        return _spread(jobs, do, done, request, say)
    finally:
        ray.shutdown()


def _cluster(request: CompareRequest) -> dict[str, Any]:
    """Arguments of `ray.init`."""
    common = {"logging_level": "WARNING"}
    if request.ray == LOCAL:
        return {**common, "address": LOCAL, "include_dashboard": False}
    return {**common, "address": request.ray}


def _spread(
    jobs: Sequence[Job],
    do: Callable[[Job, bool], bool],
    done: Callable[[Job], bool],
    request: CompareRequest,
    say: Callable[[str], None],
) -> bool:
    import ray  # noqa: PLC0415 - see `spread`
    from ray.exceptions import NodeDiedError, OutOfMemoryError, WorkerCrashedError  # noqa: PLC0415

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

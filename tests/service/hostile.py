"""The check for the answer to any attack."""

import httpx2 as httpx
from hypothesis import HealthCheck, settings

quick = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)


def refused(response: httpx.Response, *statuses: int) -> None:
    """The answer is a problem with one of these statuses, and nothing else."""
    assert response.status_code in statuses, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert set(problem) == {"type", "title", "status", "detail", "code"}
    assert problem["status"] == response.status_code

"""Keys over a real socket: kinds, rotation, limits, and the details in each answer."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest

from service.settings import Settings
from tests.service.adapters import Made
from tests.service.asking import PNG
from tests.service.gate import gated
from tests.service.hostile import refused
from tests.service.live import Live, serving

APP, CI, SCRAPER, SLOW = "app-key-0123456789", "ci-key-01234567890", "scraper-key-012345", "slow-key-012345678"

KEYS = f"""
keys = [
  {{name = "app", kind = "predict", key = "{APP}", concurrency = 1}},
  {{name = "ci", kind = "manage", key = "{CI}"}},
  {{name = "scraper", kind = "metrics", key = "{SCRAPER}"}},
  {{name = "slow", kind = "predict", key = "{SLOW}", rate = 0.01, burst = 2}},
]
"""


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    path.write_text(KEYS, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def guarded(made: dict[str, Made], keys_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server whose keys lie in a file."""
    settings = Settings.model_validate(
        {
            "store": str(tmp_path_factory.mktemp("guarded") / "store.db"),
            "keys_file": keys_file,
            "keys_seconds": 0.01,
            "request_seconds": 60.0,
        }
    )
    with serving(settings, made) as server:
        yield server


def ask(guarded: Live, method: str, path: str, key: str | None) -> httpx.Response:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return guarded.client.request(method, path, headers=headers)


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("GET", "/v1/tasks", APP, 200),
        ("GET", "/v1/tasks", CI, 200),
        ("GET", "/v1/tasks", SCRAPER, 403),
        ("GET", "/v1/tasks", None, 401),
        ("GET", "/metrics", SCRAPER, 200),
        ("GET", "/metrics", CI, 200),
        ("GET", "/metrics", APP, 403),
        ("GET", "/metrics", None, 401),
        ("GET", "/v1/tasks/cats/versions/1/file", APP, 403),
        ("GET", "/v1/tasks/cats/versions/1/file", CI, 200),
        ("POST", "/v1/tasks/cats/rollback", APP, 403),
        ("GET", "/health/ready", None, 200),
    ],
)
def test_each_kind_of_key_opens_its_own_routes(
    guarded: Live, method: str, path: str, key: str | None, status: int
) -> None:
    assert ask(guarded, method, path, key).status_code == status


def test_a_key_that_asks_too_often_is_told_when_to_come_back(guarded: Live) -> None:
    assert [ask(guarded, "GET", "/v1/tasks", SLOW).status_code for _ in range(2)] == [200, 200]
    response = ask(guarded, "GET", "/v1/tasks", SLOW)
    refused(response, 429)
    assert response.json()["code"] == "rate_limited"
    assert 90 <= int(response.headers["retry-after"]) <= 100
    assert ask(guarded, "GET", "/v1/tasks", CI).status_code == 200


def test_a_key_has_only_so_much_under_way(guarded: Live) -> None:
    headers = {"Authorization": f"Bearer {APP}"}
    with gated(guarded) as gate, ThreadPoolExecutor(1) as pool:
        first = pool.submit(guarded.client.post, "/v1/tasks/cats/predict", content=PNG, headers=headers)
        assert gate.reached.wait(60)
        response = ask(guarded, "GET", "/v1/tasks", APP)
        refused(response, 429)
        assert (response.json()["code"], response.headers["retry-after"]) == ("too_many_under_way", "1")
        gate.open.set()
        assert first.result().status_code == 200
    assert ask(guarded, "GET", "/v1/tasks", APP).status_code == 200


def test_a_refused_request_gives_its_place_back(guarded: Live) -> None:
    for _ in range(5):
        assert ask(guarded, "GET", "/v1/tasks/nobody", APP).status_code == 404


def test_keys_never_show(guarded: Live, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        bodies = [
            ask(guarded, method, path, key).text
            for key in (APP, CI, f"{CI}x")
            for method, path in (("GET", "/metrics"), ("GET", "/v1/tasks/cats"), ("DELETE", "/v1/tasks/nobody"))
        ]
    assert "DELETE '/v1/tasks/nobody' by ci" in caplog.text
    assert not any(key in text for key in (APP, CI) for text in [caplog.text, *bodies])


def test_keys_are_rotated_while_requests_come_in(guarded: Live, keys_file: Path) -> None:
    new = "app-key-rotated-0123"
    keys_file.write_text(KEYS.replace(APP, new), encoding="utf-8")
    try:
        asyncio.run(_until(guarded, new, 200))
        assert ask(guarded, "GET", "/v1/tasks", APP).status_code == 401
    finally:
        keys_file.write_text(KEYS, encoding="utf-8")
    asyncio.run(_until(guarded, APP, 200))


async def _until(guarded: Live, key: str, status: int) -> None:
    async with asyncio.timeout(60):
        while (await asyncio.to_thread(ask, guarded, "GET", "/v1/tasks", key)).status_code != status:
            await asyncio.sleep(0.01)

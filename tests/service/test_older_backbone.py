"""Task adapters that were published for an older backbone that ships: served by it, and refused by today's."""

from pathlib import Path

import httpx2 as httpx
import pytest

from backbone import BUNDLED, SHIPPED
from tests.service.live import PATIENCE, encode, picture
from tests.service.processes import running

pytestmark = pytest.mark.timeout(400)  # each process imports torch, which takes its time on a busy machine

FILES = sorted((Path(__file__).parents[1] / "adapters_store" / "files").glob("digits-version-*.safetensors"))


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    return {"store": str(tmp_path / "store.db")}


def test_published_files_are_there() -> None:
    assert [file.stem for file in FILES] == ["digits-version-1", "digits-version-2"]


@pytest.mark.parametrize("name", SHIPPED[1:])
def test_the_older_backbone_serves_what_was_published_for_it(settings: dict[str, str], name: str) -> None:
    with (
        running("service", backbone=name, **settings) as (_, url),
        httpx.Client(base_url=url, timeout=PATIENCE) as client,
    ):
        assert client.get("/v1/tasks").json()["tasks"] == []  # what ships was made for today's
        for file in FILES:
            assert client.put("/v1/tasks/digits", content=file.read_bytes()).status_code == 201
            answer = client.post("/v1/tasks/digits/predict", content=encode(picture())).json()
            assert answer["results"][0]["predictions"][0]["label"] in "0123456789"


def test_todays_backbone_refuses_it_and_names_both(settings: dict[str, str]) -> None:
    with running("service", **settings) as (_, url), httpx.Client(base_url=url, timeout=PATIENCE) as client:
        for file in FILES:
            refused = client.put("/v1/tasks/older", content=file.read_bytes())
            assert refused.status_code == 409
            assert refused.json()["code"] == "backbone_mismatch"
            assert f"this engine has {BUNDLED} " in refused.json()["detail"]
            assert f"made for {SHIPPED[1]} " in refused.json()["detail"]

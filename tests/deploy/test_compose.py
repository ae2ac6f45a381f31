"""The compose files follow the Compose specification, and the files that they name exist."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.process.configuration import variable
from service.settings import Settings
from tests.deploy.configuration import COMPOSE, COMPOSE_FILES, ROOT, read

SERVICES: dict[str, Any] = read(COMPOSE)["services"]


@pytest.mark.parametrize("file", COMPOSE_FILES, ids=lambda file: file.name)
def test_the_specification_accepts_it(file: Path) -> None:
    checked = _check(file)
    assert checked.returncode == 0, checked.stdout


def test_the_check_bites(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(COMPOSE.read_text(encoding="utf-8").replace("cap_drop:", "capdrop:"), encoding="utf-8")
    assert "capdrop" in _check(wrong).stdout


def _check(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", SERVICES)
def test_every_file_it_mounts_is_there(name: str) -> None:
    sources = [volume.partition(":")[0] for volume in SERVICES[name]["volumes"]]
    for source in sources:
        assert (ROOT / source).exists() if source.startswith(".") else source in read(COMPOSE)["volumes"], source


@pytest.mark.parametrize("name", SERVICES)
def test_it_is_reachable_from_this_machine_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_images_of_others_have_one_version(name: str) -> None:
    assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[a-z/]+:v?\d+\.\d+\.\d+\}", SERVICES[name]["image"])


@pytest.mark.parametrize("file", COMPOSE_FILES, ids=lambda file: file.name)
def test_the_server_is_told_only_what_it_understands(file: Path) -> None:
    told = read(file)["services"]["server"].get("environment", {})
    known = {variable(name) for name in Settings.model_fields}
    assert {name for name in told if name.startswith("MIMI_")} <= known


def test_no_secret_has_a_default() -> None:
    variables = re.findall(r"\$\{(\w*(?:KEY|PASSWORD)\w*)(:?[-?]?)", COMPOSE.read_text(encoding="utf-8"))
    assert len(variables) == 4
    assert {kind for _, kind in variables} == {":?"}


def test_the_server_may_do_little() -> None:
    server = SERVICES["server"]
    assert server["read_only"]
    assert server["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in server["security_opt"]
    assert server["user"] == "10001:10001"
    assert all("noexec" in folder and "size=" in folder for folder in server["tmpfs"])


@pytest.mark.parametrize("name", SERVICES)
def test_memory_and_processes_have_limits(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service.get("memswap_limit", service["mem_limit"]) == service["mem_limit"]
    assert 0 < service["pids_limit"] <= 512

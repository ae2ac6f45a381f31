"""The unit for systemd, judged by systemd's own tool, and by the server's settings."""

import re
import subprocess
from pathlib import Path

from service.process.configuration import variable
from service.process.server import REFUSED
from service.settings import Settings
from tests.deploy.configuration import ROOT

UNIT = ROOT / "deploy/systemd/mimi-serving.service"
TEXT = UNIT.read_text(encoding="utf-8")
MOST_EXPOSURE = 20  # tenths, of 100; a unit without any of it has 96


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


def test_it_exposes_little() -> None:
    done = _analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", str(UNIT))
    assert done.returncode == 0, done.stdout


def test_the_judgement_bites(tmp_path: Path) -> None:
    bare = tmp_path / UNIT.name
    bare.write_text(re.sub(r"^(Protect|Private|Restrict|Capability|SystemCall|DynamicUser).*\n", "", TEXT, flags=re.M))
    done = _analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", str(bare))
    assert done.returncode != 0


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    runnable = tmp_path / UNIT.name
    runnable.write_text(TEXT.replace("/opt/mimi/bin/mimi", "/bin/true"))
    done = _analyze("verify", str(runnable))
    assert (done.returncode, done.stderr) == (0, "")
    runnable.write_text(TEXT.replace("/opt/mimi/bin/mimi", "/bin/true").replace("UMask=", "UMasked="))
    assert "UMasked" in _analyze("verify", str(runnable)).stderr


def test_it_waits_longer_than_the_server_and_does_not_repeat_a_refusal() -> None:
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", TEXT, flags=re.M)
    settings = Settings()
    assert int(stop) > settings.notice_seconds + settings.drain_seconds
    assert f"RestartPreventExitStatus={REFUSED}\n" in TEXT


def test_its_options_and_variables_are_the_servers() -> None:
    options = set(re.findall(r" --([a-z-]+)", re.findall(r"^ExecStart=.*$", TEXT, flags=re.M)[0])) - {"config"}
    assert options <= {name.replace("_", "-") for name in Settings.model_fields}
    variables = set(re.findall(r"\b(MIMI_[A-Z_]+)=", TEXT))
    assert variables
    assert variables <= {variable(name) for name in Settings.model_fields}

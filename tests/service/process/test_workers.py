"""Several workers behind one port: real processes that are asked, killed and stopped."""

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import psutil  # type: ignore[import-untyped]
import pytest

from adapters_store import open_store
from service.errors import SettingsError
from service.process import workers
from service.settings import Settings
from tests.service.adapters import make
from tests.service.asking import PNG
from tests.service.gate import until
from tests.service.live import PATIENCE
from tests.service.processes import running

pytestmark = pytest.mark.timeout(400)  # each process imports torch, which takes its time on a busy machine

ASK = "/v1/tasks/cats/predict"


@dataclass(frozen=True, slots=True)
class Both:
    """Two workers: their supervisor, the address that they share, and those of each alone."""

    supervisor: subprocess.Popen[str]
    shared: str
    alone: list[str]

    def processes(self) -> list[psutil.Process]:
        """The workers that run."""
        found: list[psutil.Process] = psutil.Process(self.supervisor.pid).children()
        return found


@contextmanager
def two(folder: Path, **settings: str) -> Iterator[Both]:
    store = str(folder / "store.db")
    with closing(open_store(store)) as opened:
        opened.publish("cats", make(70).data)
    given = {"store": store, "workers": "2", "request_seconds": "50", "notice_seconds": "0.3", **settings}
    with running("service", **given) as (supervisor, shared):
        yield Both(supervisor, shared, [own for own in _addresses(supervisor, 3) if own != shared])


def _addresses(process: "subprocess.Popen[str]", count: int) -> list[str]:
    """The addresses in the next lines that a server prints."""
    assert process.stdout is not None
    return [found.group() for _ in range(count) if (found := re.search(r"http://\S+", process.stdout.readline()))]


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    with two(tmp_path) as found:
        yield found


def ask(address: str) -> httpx.Response:
    """One prediction, on a connection of its own."""
    return httpx.post(f"{address}{ASK}", content=PNG, timeout=PATIENCE)


def answered(address: str) -> float:
    """How many predictions a worker has answered."""
    text = httpx.get(f"{address}/metrics", timeout=PATIENCE).text
    found = re.search(r'mimi_requests_total\{code="200",task="cats",version="1"\} (\S+)', text)
    return float(found[1]) if found else 0.0


def test_both_answer_at_one_port_and_each_has_metrics_of_its_own(both: Both) -> None:
    asked = 0
    while not all(answered(own) for own in both.alone):
        assert ask(both.shared).json()["version"] == 1
        asked += 1
        assert asked < 200, "the kernel sends everything to one worker"
    assert sum(answered(own) for own in both.alone) == asked
    reply = httpx.get(f"{both.shared}/metrics", timeout=PATIENCE)
    assert (reply.status_code, "worker_port" in reply.json()["detail"]) == (421, True)


def test_a_change_through_one_is_in_force_on_the_other(both: Both) -> None:
    data = make(71, classes=4).data
    assert httpx.put(f"{both.alone[0]}/v1/tasks/cats", content=data, timeout=PATIENCE).json()["version"] == 2
    until(lambda: ask(both.alone[1]).json()["version"] == 2)


def test_a_worker_that_is_killed_is_replaced_while_the_other_answers(both: Both) -> None:
    victim, other = both.processes()
    victim.kill()
    until(lambda: len(both.processes()) == 2 and victim.pid not in {each.pid for each in both.processes()})
    assert other.is_running()
    ((shared, own),) = [_addresses(both.supervisor, 2)]
    assert shared == both.shared
    assert ask(own).status_code == 200
    assert all(ask(both.shared).status_code == 200 for _ in range(10))


def test_sigterm_ends_all_of_them_with_status_0(both: Both) -> None:
    processes = both.processes()
    both.supervisor.send_signal(signal.SIGTERM)
    assert both.supervisor.wait(PATIENCE) == 0
    assert not any(each.is_running() for each in processes)


def test_workers_end_with_a_supervisor_that_is_killed(both: Both) -> None:
    processes = both.processes()
    both.supervisor.kill()
    both.supervisor.wait(PATIENCE)
    until(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes))


def test_a_worker_that_cannot_start_ends_all(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "store.db").write_bytes(b"my thesis, only copy" * 1000)
    with pytest.raises(AssertionError, match="names no address"), two_over(tmp_path):
        pass
    assert "refusing to start" in capfd.readouterr().err


@contextmanager
def two_over(folder: Path) -> Iterator[None]:
    with running("service", store=str(folder / "store.db"), workers="2"):
        yield


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"store": "memory://"}, "memory"), ({"grpc_port": 0}, "grpc_port")],
)
def test_what_workers_cannot_share_is_refused(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        workers.check(Settings.model_validate({"workers": 2, **settings}))
    workers.check(Settings.model_validate(settings))


def test_cores_are_shared_out_unless_threads_are_set() -> None:
    assert workers.threads_of(Settings(workers=256)) == 1
    assert workers.threads_of(Settings(workers=2, threads=5)) == 5


@pytest.mark.parametrize(("named", "found"), [("2,5", ["2", "5"]), ("GPU-a", ["GPU-a"]), ("", [])])
def test_gpus_are_those_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, named: str, found: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert workers.visible_gpus() == found

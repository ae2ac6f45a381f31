"""Prometheus' own tool checks the shipped files; each alert fires when it should, and is in the runbook."""

import re
import subprocess

from tests.deploy.configuration import COMPOSE, PROMETHEUS, ROOT, RULES, RUNBOOK, alerts, needs_prometheus, read

UNIT_TESTS = ROOT / "tests/deploy/alerts.test.yml"


@needs_prometheus
def test_the_configuration_is_sound() -> None:
    # Its key is a secret that is not here: the syntax is checked, and the rules by themselves.
    checked = _promtool("check", "config", "--syntax-only", str(PROMETHEUS))
    assert checked.returncode == 0, checked.stderr


@needs_prometheus
def test_the_rules_are_sound() -> None:
    checked = _promtool("check", "rules", "--lint-fatal", str(RULES))
    assert checked.returncode == 0, checked.stderr


@needs_prometheus
def test_alerts_fire_when_they_should_and_not_before() -> None:
    tested = _promtool("test", "rules", str(UNIT_TESTS))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_is_tested_quiet_and_firing() -> None:
    tested = [case for test in read(UNIT_TESTS)["tests"] for case in test["alert_rule_test"]]
    assert all(test["interval"] == read(PROMETHEUS)["global"]["scrape_interval"] for test in read(UNIT_TESTS)["tests"])
    for fires in (False, True):
        names = {case["alertname"] for case in tested if bool(case["exp_alerts"]) is fires}
        assert names == {rule["alert"] for rule in alerts()}


def test_every_alert_has_a_line_in_the_runbook_and_no_line_is_left_over() -> None:
    headings = re.findall(r"(?m)^### (Mimi\w+)$", RUNBOOK.read_text(encoding="utf-8"))
    assert sorted(headings) == sorted(rule["alert"] for rule in alerts())
    for rule in alerts():
        assert rule["annotations"]["runbook"] == f"docs/deploying.md#{rule['alert'].lower()}"


def test_what_prometheus_reads_is_mounted_where_it_looks() -> None:
    service, (job,) = read(COMPOSE)["services"]["prometheus"], read(PROMETHEUS)["scrape_configs"]
    assert "./deploy/prometheus:/etc/prometheus:ro" in service["volumes"]
    assert f"--config.file=/etc/prometheus/{PROMETHEUS.name}" in service["command"]
    assert job["authorization"]["credentials_file"] == f"/run/secrets/{service['secrets'][0]}"
    assert job["dns_sd_configs"][0]["names"] == ["server"]


def _promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)

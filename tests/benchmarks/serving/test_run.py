"""The command line refuses what would give no figures."""

import pytest

from benchmarks.serving.run import parse, refuse_if_busy


def test_a_busy_machine_and_a_peer_without_a_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (99.0, 0.0, 0.0))
    with pytest.raises(SystemExit, match="load"):
        refuse_if_busy()
    with pytest.raises(SystemExit):
        parse(["--json", "x", "--peer-python", "triton=python"])
    assert parse(["--json", "x", "--peer-python", "ray=p"]).peer_python == [("ray", "p")]

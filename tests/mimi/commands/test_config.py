"""`mimi config`: what `mimi serve` would run with, where each value came from, and nothing secret."""

import tomllib
from pathlib import Path

import pytest

from mimi.cli import main
from service.process.configuration import read
from service.settings import Settings

SECRET = "a-secret-0123456789"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"MIMI_{name.upper()}", raising=False)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["config", *arguments]) == 0
    return capsys.readouterr().out


def line(text: str, name: str) -> str:
    return " ".join(next(one for one in text.splitlines() if f"{name} =" in one).split())


def test_each_value_stands_with_its_unit_and_where_it_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mimi.toml"
    file.write_text("image_bytes = 1000\nport = 1", encoding="utf-8")
    monkeypatch.setenv("MIMI_BODY_SECONDS", "3")
    text = printed(capsys, "--config", str(file), "--port", "9000", "--allowed-hosts", "a.example,b.example")
    assert line(text, "port") == "port = 9000 # --port"
    assert line(text, "body_seconds") == "body_seconds = 3.0 # seconds; MIMI_BODY_SECONDS"
    assert line(text, "image_bytes") == f"image_bytes = 1000 # bytes; {file}"
    assert line(text, "allowed_hosts") == 'allowed_hosts = ["a.example", "b.example"] # --allowed-hosts'
    assert line(text, "headers") == "headers = 64 # headers; default"
    assert line(text, "weights") == "# weights = # default"


def test_what_is_printed_is_a_file_that_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--store", 'a "quoted" \\ ключ \x7f', "--weights", "w.safetensors", "--cors-origins", "https://a.b"]
    file = tmp_path / "again.toml"
    file.write_text(printed(capsys, *arguments), encoding="utf-8")
    assert tomllib.loads(file.read_text(encoding="utf-8"))["port"] == 8000
    found = read({}, None, file).settings
    assert (found.store, str(found.weights)) == ('a "quoted" \\ ключ \x7f', "w.safetensors")
    assert found.cors_origins == ("https://a.b",)


def test_secrets_are_masked_wherever_they_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mimi.toml"
    file.write_text(f'manage_key = "{SECRET}-m"\nmetrics_key = "{SECRET}-x"', encoding="utf-8")
    monkeypatch.setenv("MIMI_PREDICT_KEY", f"{SECRET}-p")
    text = printed(capsys, "--config", str(file), "--store", f"s3://user:{SECRET}@bucket")
    assert SECRET not in text
    assert line(text, "predict_key") == '# predict_key = "********" # MIMI_PREDICT_KEY'
    assert line(text, "store") == '# store = "********" # --store'
    assert "predict_key" not in tomllib.loads(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [("s3://bucket/prefix", True), ("s3://bucket?secret=1", False), ("./a@b?c", True), ("x://[", False)],
)
def test_a_store_s_address_shows_unless_it_carries_more(
    url: str, shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (url in printed(capsys, "--store", url)) is shown


def test_what_serve_would_refuse_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--host", "0.0.0.0"]) == 2
    assert "needs keys" in capsys.readouterr().err

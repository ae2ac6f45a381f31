"""Pins of the image: what is loose is named, and fails a release alone."""

from pathlib import Path

import pytest

from scripts import check_pins

DIGEST = "@sha256:" + "a" * 64


def tree(folder: Path, *, base: str, service: str, lock: str) -> Path:
    (folder / "deploy/locks").mkdir(parents=True)
    (folder / "Dockerfile").write_text(f"ARG PYTHON_IMAGE={base}\nFROM ${{PYTHON_IMAGE}}\n")
    (folder / "docker-compose.yml").write_text(f"services:\n  a:\n    image: {service}\n  b:\n    image: mimi:${{X}}\n")
    (folder / "deploy/locks/cpu.txt").write_text(lock)
    return folder


def test_what_is_not_pinned_to_the_byte_is_named(tmp_path: Path) -> None:
    lock = "loose==1.0\nfirm==2.0 ; x == 'y' \\\n    --hash=sha256:00\nalso==1.2+cpu\n"
    root = tree(tmp_path, base="python:3.12.1-slim", service="${SHOWN:-shown/it:v1.2}", lock=lock)
    found = list(check_pins.loose(root))
    assert [line.partition(" ")[2].partition(" has ")[0] for line in found] == [
        "python:3.12.1-slim",
        "shown/it:v1.2",
        "loose==1.0",
        "also==1.2+cpu",
    ]


def test_what_is_pinned_is_not(tmp_path: Path) -> None:
    lock = "firm==2.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n"
    root = tree(tmp_path, base=f"python:3.12{DIGEST}", service=f"shown/it:v1.2{DIGEST}", lock=lock)
    assert not list(check_pins.loose(root))


def test_it_warns_and_fails_a_release_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_pins.main([]) == 0
    warned = capsys.readouterr().out.splitlines()
    assert all(line.startswith("warning: ") for line in warned)
    assert check_pins.main(["--strict"]) == int(bool(warned))

"""The Dockerfile, read: two stages, pinned, without root, and made of what .dockerignore lets through."""

import json
import re
import tomllib

from tests.deploy.configuration import COMPOSE, ROOT, read

_TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
STEPS = [
    (step.partition(" ")[0], step.partition(" ")[2].strip())
    for step in re.sub(r"\\\n\s*", " ", re.sub(r"(?m)^#.*\n", "", _TEXT)).splitlines()
    if step
]
FINAL = STEPS[max(index for index, (word, _) in enumerate(STEPS) if word == "FROM") :]
COPIED = [path for word, rest in STEPS if word == "COPY" and "--from" not in rest for path in rest.split()[:-1]]


def last(word: str) -> str:
    return [rest for found, rest in FINAL if found == word][-1]


def test_both_stages_start_from_one_pinned_image() -> None:
    assert [rest for word, rest in STEPS if word == "FROM"] == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]
    assert re.fullmatch(r"PYTHON_IMAGE=python:\d+\.\d+\.\d+-slim-\w+", STEPS[0][1])


def test_it_runs_as_a_user_by_number_who_is_not_root() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last("USER"))


def test_it_copies_what_is_there_and_is_let_through() -> None:
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(COPIED) == sorted(let_through)
    assert all((ROOT / path).exists() for path in COPIED)


def test_every_package_of_the_wheel_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= set(COPIED)
    assert {project["project"]["readme"], *project["project"]["license-files"]} <= set(COPIED)


def test_no_library_of_cuda_comes_into_an_image_for_cpus_through_a_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    swapped = [name.replace("onnxruntime-gpu", "onnxruntime") for name in project["project"]["dependencies"]]
    assert "s/onnxruntime-gpu/onnxruntime/" in _TEXT
    assert not any("gpu" in name or "nvidia" in name or "cuda" in name for name in swapped)


def test_its_health_is_whether_work_is_taken() -> None:
    words = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    assert words[0] == "python"
    assert "/health/ready" in words[-1]


def test_the_kernels_it_made_are_those_it_uses() -> None:
    (made,) = (rest for word, rest in STEPS if word == "RUN" and "mimi compile" in rest)
    folder = re.search(r"MIMI_KERNELS_FOLDER=(\S+)", last("ENV"))
    assert folder
    assert f"compile --folder {folder[1]} " in made
    assert f"chmod -R a+rX {folder[1]}" in made  # its user is not the one who made them
    assert any(
        word == "COPY" and rest.startswith("--from=build") and folder[1].startswith(rest.split()[1])
        for word, rest in FINAL
    )


def test_what_it_keeps_lies_in_the_volume() -> None:
    volume = last("VOLUME")
    assert f"MIMI_STORE={volume}/store.db" in last("ENV")
    assert f"store:{volume}" in read(COMPOSE)["services"]["server"]["volumes"]
    assert "--store" not in last("CMD")  # an option would win over the variable

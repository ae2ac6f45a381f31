"""The text of the Dockerfile: two stages, pinned, without root, and built only from files that .dockerignore admits."""

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


def steps(stage: str) -> list[tuple[str, str]]:
    """The steps of a stage by its name, in their order."""
    start = next(i for i, (word, rest) in enumerate(STEPS) if word == "FROM" and rest.endswith(f" AS {stage}"))
    rest = STEPS[start + 1 :]
    return rest[: next(i for i, (word, _) in enumerate(rest) if word == "FROM")]


def test_all_stages_start_from_one_pinned_image() -> None:
    stages = ["${PYTHON_IMAGE} AS libraries", "libraries AS build", "${PYTHON_IMAGE}"]
    assert [rest for word, rest in STEPS if word == "FROM"] == stages
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
    assert set(project["project"]["license-files"]) <= set(COPIED)


def test_an_edit_of_a_document_builds_nothing_again() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert not any(path.endswith(".md") or path in ("docs", "deploy", ".") for path in COPIED)
    assert any(word == "RUN" and f"touch {project['project']['readme']} " in rest for word, rest in steps("build"))


def test_an_edit_of_the_code_leaves_the_libraries_alone() -> None:
    assert [rest for word, rest in steps("libraries") if word == "COPY"] == ["deploy/locks /locks"]
    copied = [rest for word, rest in FINAL if word == "COPY"]
    assert copied == ["--from=libraries /opt/mimi /opt/mimi", "--from=build /opt/project /opt/project"]


def test_everything_it_installs_is_locked() -> None:
    installs = re.findall(r"pip install[^;&|}]*", _TEXT.replace("\\\n", " "))
    assert len(installs) == 4
    for command in installs:
        locked = "--require-hashes -r" in command or "-r /locks/torch-cpu.txt" in command
        assert locked or "--no-deps --target /opt/project /wheel/*.whl" in command, command


def test_nothing_of_cuda_comes_into_an_image_for_cpus() -> None:
    assert ("ARG", "DEVICE=cpu") in steps("libraries")
    assert "torch.version.cuda" in _TEXT  # a build that got other wheels fails


def test_its_health_is_whether_work_is_taken() -> None:
    words = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    assert words[0] == "python"
    assert "/health/ready" in words[-1]


def test_the_kernels_it_made_are_those_it_uses() -> None:
    (made,) = (rest for word, rest in STEPS if word == "RUN" and "mimi compile" in rest)
    folder = re.search(r"MIMI_KERNELS_FOLDER=(\S+)", last("ENV"))
    assert folder
    assert f"compile --folder {folder[1]} " in made
    assert "chmod -R a+rX /opt/project" in made  # its user is not the one who made them
    assert any(
        word == "COPY" and rest.startswith("--from=build") and folder[1].startswith(rest.split()[1])
        for word, rest in FINAL
    )


def test_what_it_keeps_lies_in_the_volume() -> None:
    volume = last("VOLUME")
    assert f"MIMI_STORE={volume}/store.db" in last("ENV")
    assert f"store:{volume}" in read(COMPOSE)["services"]["server"]["volumes"]
    assert "--store" not in last("CMD")  # an option would win over the variable

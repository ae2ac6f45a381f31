"""The whole loop over a real server: train, publish, ask, correct, export, train again, publish, and be better.

Every part is the real one, as a user runs it; only the data set is small.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from mimi.cli import main
from service.client import Client
from service.settings import Settings
from tests.service.live import Live, serving
from training.data import load_data
from training.data.sets import ImageSet

ASKED, CORRECTED = 120, 10
FEW = 3  # training images of each digit at first: so few that the task makes mistakes


def write(folder: Path, digits: ImageSet, rows: Sequence[int]) -> None:
    """Images of the digits as class folders."""
    for row in rows:
        place = folder / digits.labels[digits.targets[row]]
        place.mkdir(parents=True, exist_ok=True)
        digits.image(row).save(place / f"{row:05}.png")


def first_of_each(targets: Sequence[int]) -> list[int]:
    return [row for label in range(10) for row in [i for i, target in enumerate(targets) if target == label][:FEW]]


def train(data: Path, out: Path) -> None:
    words = ["train", str(data), "--method", "head", "--validation", "0", "--device", "cpu", "--out", str(out)]
    assert main([*words, "--folder", str(out.with_suffix(""))]) == 0


def answered(live: Live, images: Sequence[Path]) -> list[str]:
    """The label of each image."""
    with Client(f"http://127.0.0.1:{live.port}") as client:
        found = [client.predict("digits-loop", image, top_k=1) for image in images]
    return [answer.results[0].predictions[0].label for answer in found if answer.results[0].predictions]


def correct(live: Live, image: Path, label: str) -> None:
    """Ask about an image, and say what it shows by the id of that request."""
    asked = live.client.post("/v1/tasks/digits-loop/predict", content=image.read_bytes())
    named = {"request_id": asked.headers["x-request-id"], "labels": [label]}
    assert live.client.post("/v1/tasks/digits-loop/feedback", json=named).status_code == 201


def publish(live: Live, file: Path) -> None:
    words = ["publish", str(file), "--task", "digits-loop", "--url", f"http://127.0.0.1:{live.port}"]
    assert main(words) == 0


def test_ten_corrections_make_a_better_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    digits = load_data("digits").train
    targets = digits.targets.tolist()
    known = first_of_each(targets)
    write(tmp_path / "set", digits, known)
    others = [row for row in range(len(targets)) if row not in known][:ASKED]
    write(tmp_path / "asked", digits, others)
    images = sorted((tmp_path / "asked").rglob("*.png"))
    settings = Settings(
        store=str(tmp_path / "store.db"),
        feedback=tmp_path / "feedback.db",
        feedback_tasks=("digits-loop",),
        request_seconds=60.0,
    )
    with serving(settings) as live:
        train(tmp_path / "set", tmp_path / "one.safetensors")
        publish(live, tmp_path / "one.safetensors")
        labels = answered(live, images)
        wrong = [image for image, label in zip(images, labels, strict=True) if label != image.parent.name][:CORRECTED]
        assert len(wrong) == CORRECTED
        for image in wrong:
            correct(live, image, image.parent.name)
        url = f"http://127.0.0.1:{live.port}"
        assert main(["feedback", "export", url, str(tmp_path / "corrected"), "--task", "digits-loop"]) == 0
        exported = sorted((tmp_path / "corrected").rglob("*.png"))
        assert sorted(path.read_bytes() for path in exported) == sorted(path.read_bytes() for path in wrong)
        for path in exported:  # what was corrected is trained on beside the old images
            path.rename(tmp_path / "set" / path.parent.name / f"corrected-{path.name}")
        train(tmp_path / "set", tmp_path / "two.safetensors")
        publish(live, tmp_path / "two.safetensors")
        with Client(url) as client:
            assert client.task("digits-loop").version == 2
        right = sum(label == image.parent.name for image, label in zip(wrong, answered(live, wrong), strict=True))
    assert right >= CORRECTED // 2, f"{right} of {CORRECTED} are right now; none was before"

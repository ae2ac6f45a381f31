"""Pages of a comparison and of one run. They are self-contained, and escape all text that they are given."""

import re
import sys
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from adapters_store import Answers
from adapters_store.answers import SIGMOID
from tests.training.report.rows import SCRIPT, row, written
from tests.training.small import small_backbone, small_options, small_prepared
from training.calibrate import Reading
from training.export import with_answers
from training.mimi import Job, Outcome, train_mimi
from training.pixels import PixelSet
from training.progress import PROGRESS, ProgressFile, Reporter
from training.report import page
from training.report.comparison import write_comparison
from training.report.mistakes import foreign
from training.report.run_page import run_page, write_run_page

FETCHING = {"src", "href", "xlink:href", "srcset", "data", "action", "poster"}
VOID = {"meta", "img"}
PICTURE = "data:image/jpeg;base64,"


class Parsed(HTMLParser):
    """A page as a browser reads it: elements, the text between them, and everything that it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.fetched: list[str] = []
        self.handlers: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        inside = ("#", PICTURE) if tag == "img" else ("#",)
        self.fetched += [
            value or "" for name, value in attrs if name in FETCHING and not (value or "").startswith(inside)
        ]
        self.attributes += attrs
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def safe(text: str) -> Parsed:
    """The page, parsed, after a check that it runs and fetches nothing."""
    found = Parsed(text)
    assert (found.open, found.fetched, found.handlers) == ([], [], [])
    assert not {"script", "iframe", "object", "link"} & set(found.tags)
    assert "url(http" not in text
    assert "default-src 'none'" in text
    return found


def hostile(folder: Path) -> tuple[Job, Outcome]:
    """A run whose data set and labels are scripts."""
    prepared = replace(small_prepared(), name=SCRIPT, labels=(SCRIPT, '"><img src=x onerror=alert(1)>', "& </td>"))
    reporter: Reporter = ProgressFile(folder / PROGRESS)
    job = Job(prepared, small_backbone(), small_options(), folder, reporter)
    return job, train_mimi(job)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Outcome]:
    return hostile(tmp_path_factory.mktemp("run"))


def test_the_page_of_a_run_says_what_was_trained_how_and_what_came_of_it(run: tuple[Job, Outcome]) -> None:
    job, outcome = run
    path = write_run_page(job, outcome)
    assert path == job.folder / "report.html"
    found = safe(path.read_text(encoding="utf-8"))
    assert found.tags.count("svg") == 5
    for expected in (job.backbone.fingerprint, "48 to train on", "seed", "pruning_fraction", "torch ", "target_sigma"):
        assert expected in found.text
    assert f"{outcome.results[-1].validation:.4f}" in found.text


def test_labels_stay_text(run: tuple[Job, Outcome]) -> None:
    found = safe(run_page(*run))
    assert all(label in found.text for label in run[0].prepared.labels)
    assert f"MiMi on {SCRIPT}" in found.text


def test_a_page_says_nothing_of_where_it_was_made(run: tuple[Job, Outcome]) -> None:
    assert str(run[0].folder) not in run_page(*run)


def test_without_matplotlib_a_run_still_has_its_page(run: tuple[Job, Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    found = safe(run_page(*run))
    assert "svg" not in found.tags
    assert "No figures: matplotlib is not installed; pip install 'mimi-serving[reports]'." in found.text


def test_a_run_that_logged_nothing_has_no_curve(run: tuple[Job, Outcome], tmp_path: Path) -> None:
    job, outcome = run
    assert safe(run_page(replace(job, folder=tmp_path), outcome)).tags.count("svg") == 4


def test_methods_and_data_sets_of_a_comparison_stay_text(tmp_path: Path) -> None:
    runs = written(tmp_path, [row(SCRIPT, 0, 0, dataset=f"{SCRIPT} set")])
    path, *_ = write_comparison([runs], tmp_path / "out")
    found = safe(path.read_text(encoding="utf-8"))
    assert found.text.count(SCRIPT) >= 5
    assert "<script" not in (tmp_path / "out" / "tables.md").read_text()


def test_every_held_back_image_is_counted_once_and_every_link_leads_somewhere(run: tuple[Job, Outcome]) -> None:
    job, outcome = run
    text = run_page(job, outcome)
    matrix = text[text.index('<table class="matrix">') :].partition("</table>")[0]
    cells = [int(Parsed(f"<td{cell.partition('</td>')[0]}</td>").text or 0) for cell in matrix.split("<td")[1:]]
    assert sum(cells) == len(job.prepared.test or job.prepared.validation)
    found = Parsed(text)
    anchors = {value for name, value in found.attributes if name == "id"}
    links = {(value or "")[1:] for name, value in found.attributes if name == "href" and (value or "").startswith("#")}
    assert links - anchors == set()
    assert found.tags.count("details") == len(links & anchors) == sum(map(bool, cells)) - _diagonal(cells)


def _diagonal(cells: list[int]) -> int:
    """Cells of right answers that are not empty."""
    side = round(len(cells) ** 0.5)
    return sum(map(bool, cells[:: side + 1]))


def test_the_worst_mistakes_come_first_and_say_what_was_answered(run: tuple[Job, Outcome]) -> None:
    job, outcome = run
    labels = job.prepared.labels
    captions = [escape(label) for label in labels]
    gallery = run_page(job, outcome).split('<div class="gallery">')[1].partition("</div>")[0]
    shown = re.findall(r"<figcaption>(.*?) → (.*?) ([01]\.\d\d)</figcaption>", gallery)
    assert shown
    assert all(true != said and {true, said} <= set(captions) for true, said, _ in shown)
    confidences = [float(confidence) for _, _, confidence in shown]
    assert confidences == sorted(confidences, reverse=True)


def test_foreign_images_are_made_of_the_pixels_of_own_ones() -> None:
    own = PixelSet(torch.randint(0, 256, (3, 18, 16, 3), dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))
    for images in foreign(own).values():
        for made, real in zip(images.pixels, own.pixels, strict=True):
            assert not torch.equal(made, real)
            assert torch.equal(made.reshape(-1, 3).sum(0), real.reshape(-1, 3).sum(0))


def test_labels_that_are_independent_have_figures_but_no_confusions(run: tuple[Job, Outcome]) -> None:
    job, outcome = run
    test = job.prepared.test or job.prepared.validation
    flags = PixelSet(test.pixels, torch.nn.functional.one_hot(test.targets, len(job.prepared.labels)).float())
    reading = Reading(Answers(SIGMOID, 1.0, (0.5,) * len(job.prepared.labels), None, None), None)
    independent = replace(outcome, adapter=with_answers(outcome.adapter, reading, job.backbone))
    found = safe(run_page(replace(job, prepared=replace(job.prepared, test=flags)), independent))
    assert "average precision" in found.text
    assert not {"details", "img"} & set(found.tags)


def test_values_are_written_for_people() -> None:
    found = page.facts({"a": True, "b": 0.0001, "c": (1, 2), "d": None, "e": ()})
    assert [part.split("</td>")[0] for part in found.split("<td>")[2::2]] == ["yes", "0.0001", "1, 2", "none", "none"]

"""Pages of a comparison and of one run. They are self-contained, and escape all text that they are given."""

import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.training.report.rows import SCRIPT, row, written
from tests.training.small import small_backbone, small_options, small_prepared
from training.mimi import Job, Outcome, train_mimi
from training.progress import PROGRESS, ProgressFile, Reporter
from training.report import page
from training.report.comparison import write_comparison
from training.report.run_page import run_page, write_run_page

FETCHING = {"src", "href", "xlink:href", "srcset", "data", "action", "poster"}
VOID = {"meta"}


class Reading(HTMLParser):
    """A page as a browser reads it: elements, the text between them, and everything that it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.fetched: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in FETCHING and not (value or "").startswith("#")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def safe(text: str) -> Reading:
    """The page, parsed, after a check that it runs and fetches nothing."""
    found = Reading(text)
    assert (found.open, found.fetched, found.handlers) == ([], [], [])
    assert not {"script", "iframe", "object", "link", "img"} & set(found.tags)
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
    assert found.tags.count("svg") == 3
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
    assert safe(run_page(replace(job, folder=tmp_path), outcome)).tags.count("svg") == 2


def test_methods_and_data_sets_of_a_comparison_stay_text(tmp_path: Path) -> None:
    runs = written(tmp_path, [row(SCRIPT, 0, 0, dataset=f"{SCRIPT} set")])
    path, *_ = write_comparison([runs], tmp_path / "out")
    found = safe(path.read_text(encoding="utf-8"))
    assert found.text.count(SCRIPT) >= 5
    assert "<script" not in (tmp_path / "out" / "tables.md").read_text()


def test_values_are_written_for_people() -> None:
    found = page.facts({"a": True, "b": 0.0001, "c": (1, 2), "d": None, "e": ()})
    assert [part.split("</td>")[0] for part in found.split("<td>")[2::2]] == ["yes", "0.0001", "1, 2", "none", "none"]

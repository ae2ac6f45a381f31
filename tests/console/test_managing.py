"""A task from its upload to its end: checks, canary, rollback, download, deletion; and what goes wrong on the way."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.service.adapters import Made, make
from tests.service.asking import put
from tests.service.live import Live


@pytest.fixture(scope="module")
def first() -> Made:
    return make(11, classes=3)


@pytest.fixture(scope="module")
def second() -> Made:
    return make(12, classes=3, live=(5, 9, 20))


def open_task(page: Page, console: Live, task: str) -> None:
    page.goto(f"{console.client.base_url}/#/task/{task}")
    expect(page.get_by_role("heading", name=task, exact=True)).to_be_visible()


def choose(page: Page, path: Path, data: bytes) -> Locator:
    """Give a file to the upload; returns its part of the page."""
    path.write_bytes(data)
    upload = page.locator(".upload")
    upload.locator("input[type=file]").set_input_files(path)
    return upload


def weights(console: Live, task: str) -> dict[str, float]:
    found: dict[str, float] = console.client.get(f"/v1/tasks/{task}/aliases/live").json()["weights"]
    return found


def test_a_new_task_shows_its_checks_before_it_is_published(
    page: Page, console: Live, first: Made, tmp_path: Path
) -> None:
    page.goto(f"{console.client.base_url}/")
    page.get_by_role("button", name="New task").click()
    upload = choose(page, tmp_path / "Fresh Dogs.safetensors", first.data)
    expect(upload.locator(".checks li.passed")).to_have_count(8)  # the ninth is about a checksum, which no page sends
    expect(upload.locator(".checks li.failed")).to_have_count(0)
    expect(upload.get_by_label("Name of the task")).to_have_value("fresh-dogs")
    assert console.client.get("/v1/tasks/fresh-dogs").status_code == 404
    upload.get_by_role("button", name="Publish and make it live").click()
    expect(page.get_by_role("heading", name="fresh-dogs")).to_be_visible()
    assert weights(console, "fresh-dogs") == {"1": 1.0}


def test_a_new_task_never_becomes_a_version_of_another(page: Page, console: Live, first: Made, tmp_path: Path) -> None:
    page.goto(f"{console.client.base_url}/")
    page.get_by_role("button", name="New task").click()
    upload = choose(page, tmp_path / "cats.safetensors", first.data)
    expect(upload.locator(".checks li.failed")).to_contain_text("Task is as expected")
    expect(upload.get_by_role("button", name="Publish and make it live")).to_have_count(0)


def test_a_wrong_file_names_the_check_that_failed(page: Page, console: Live, first: Made, tmp_path: Path) -> None:
    open_task(page, console, "cats")
    upload = choose(page, tmp_path / "notes.txt", b"these are notes, and no task adapter")
    expect(upload.locator(".checks li.failed")).to_contain_text("Container")
    expect(upload.locator(".checks li.open")).to_have_count(6)
    expect(upload.get_by_text("Nothing was changed")).to_be_visible()
    choose(page, tmp_path / "cut.safetensors", first.data[:-100])
    expect(upload.locator(".checks li.failed")).to_have_count(1)
    assert len(console.client.get("/v1/tasks/cats").json()["versions"]) == 1


def test_canary_rollback_activation_and_deletion_of_a_version(
    page: Page, console: Live, first: Made, second: Made, tmp_path: Path, task: str
) -> None:
    put(console, task, first.data)
    open_task(page, console, task)
    upload = choose(page, tmp_path / "second.safetensors", second.data)
    upload.get_by_role("button", name="Publish, keep traffic").click()
    expect(upload.get_by_text("Published as version 2")).to_be_visible()
    assert weights(console, task) == {"1": 1.0}

    live = page.get_by_role("region", name="Live traffic")
    live.get_by_label("Share").fill("10")
    live.get_by_role("button", name="Apply").click()
    expect(live.get_by_role("img", name=re.compile("version 2: 10"))).to_be_visible()
    assert weights(console, task) == {"1": 0.9, "2": 0.1}

    live.get_by_role("button", name="Roll back").click()
    expect(live.get_by_role("img", name=re.compile("version 1: 100"))).to_be_visible()
    assert weights(console, task) == {"1": 1.0}

    page.get_by_role("button", name="Activate version 2").click()
    expect(live.get_by_role("img", name=re.compile("version 2: 100"))).to_be_visible()
    expect(page.get_by_role("button", name="Delete version 2")).to_be_disabled()
    page.get_by_role("button", name="Delete version 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="Show version 1")).to_have_count(0)
    assert [each["version"] for each in console.client.get(f"/v1/tasks/{task}").json()["versions"]] == [2]


def test_a_change_that_somebody_else_was_faster_with_is_refused(
    page: Page, console: Live, first: Made, second: Made, task: str
) -> None:
    put(console, task, first.data)
    put(console, task, second.data)
    open_task(page, console, task)
    console.client.put(f"/v1/tasks/{task}/aliases/live", json={"version": 1})
    page.get_by_role("region", name="Live traffic").get_by_role("button", name="Apply").click()
    expect(page.get_by_role("alert")).to_contain_text("generation")
    assert weights(console, task) == {"1": 1.0}


def test_a_version_is_downloaded_as_it_was_published(page: Page, console: Live, first: Made, task: str) -> None:
    put(console, task, first.data)
    open_task(page, console, task)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download version 1").click()
    assert download.value.suggested_filename == f"{task}-1.safetensors"
    assert Path(download.value.path()).read_bytes() == first.data


def test_a_task_is_deleted_only_after_its_name_was_typed(page: Page, console: Live, first: Made, task: str) -> None:
    put(console, task, first.data)
    open_task(page, console, task)
    page.get_by_role("button", name="Delete the task").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Delete")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Delete the task").click()
    dialog.get_by_label("Name of the task").fill(task)
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Tasks")).to_be_visible()
    assert console.client.get(f"/v1/tasks/{task}").status_code == 404


def test_a_file_with_figures_shows_a_confusion_matrix_and_each_label(
    page: Page, console: Live, first: Made, graded: bytes, task: str
) -> None:
    put(console, task, first.data)
    put(console, task, graded)
    open_task(page, console, task)
    figures = page.get_by_role("region", name="Validation images")
    expect(figures).to_contain_text("Measured on 30 images")
    expect(figures).to_contain_text("right for 83.3")
    matrix = figures.get_by_role("img", name="Confusion matrix of 3 labels: 5 images have a wrong one.")
    expect(matrix.locator(".miss title")).to_have_text(
        [re.compile("class 0, predicted as class 2: 1 "), re.compile("class 2, predicted as class 0: 4 ")]
    )
    expect(figures.get_by_role("listitem").first).to_have_text("class 2 as class 0: 4")
    expect(figures.get_by_role("row", name="class 2")).to_contain_text("85.7")
    page.get_by_role("button", name="Show version 1").click()
    expect(page.get_by_text("The file does not say", exact=False)).to_be_visible()
    expect(figures).to_have_count(0)


def test_warnings_about_a_file_are_shown_before_it_is_published(
    page: Page, console: Live, first: Made, tmp_path: Path, task: str
) -> None:
    put(console, task, first.data)
    open_task(page, console, task)
    upload = choose(page, tmp_path / "other.safetensors", make(13, classes=5).data)
    expect(upload.get_by_text("Compared with the live version")).to_be_visible()
    expect(upload.locator(".caution li")).to_contain_text([re.compile("labels are new")])


def test_the_versions_of_a_canary_are_compared(
    page: Page, console: Live, first: Made, second: Made, image: Path, task: str
) -> None:
    put(console, task, first.data)
    put(console, task, second.data)
    console.client.put(f"/v1/tasks/{task}/aliases/live", json={"weights": {"1": 1, "2": 1}}).raise_for_status()
    for number in range(16):
        headers = {"X-Canary-Key": str(number)}
        console.client.post(f"/v1/tasks/{task}/predict", content=image.read_bytes(), headers=headers).raise_for_status()
    open_task(page, console, task)
    rows = page.get_by_role("region", name="Latency of each version").locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("ms")
    counts = [int(row.locator("td").first.inner_text()) for row in rows.all()]
    assert sum(counts) == 16
    assert min(counts) > 0


def test_the_chart_tells_where_the_neurons_sit(page: Page, console: Live) -> None:
    open_task(page, console, "cats")
    sites = page.get_by_role("region", name="Neurons per site")
    expect(sites.get_by_role("img")).to_have_accessible_name("Bar chart: 2 of 24 sites have neurons.")
    expect(sites).to_contain_text("The 3 sites in front of the first adapter are bare trunk")
    sites.get_by_text("The same as a table").click()
    found = [row.inner_text().split() for row in sites.locator("tbody tr").all()]
    widths = console.client.get("/v1/tasks/cats").json()["widths"]
    assert [(int(site), int(neurons)) for site, neurons, _ in found] == list(enumerate(widths))
    open_task(page, console, "bare")
    expect(sites).to_contain_text("The task has no adapter at all")

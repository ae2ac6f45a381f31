"""Lists, numbers, keys and connections: 3,000 tasks, the live page, a wrong key, a lost server, the reference."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from adapters_store import open_store
from service.settings import Settings
from tests.service.adapters import make
from tests.service.live import Live, serving

PREDICT, MANAGE = "predict-key-0123456789", "manage-key-0123456789"
TASKS = 3_000


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with 3,000 tasks and keys."""
    path = str(tmp_path_factory.mktemp("crowded") / "store.db")
    store, data = open_store(path), make(4, classes=2).data
    store.seed({f"task-{number:04}": data for number in range(TASKS)})
    store.close()
    with serving(Settings.model_validate({"store": path, "predict_key": PREDICT, "manage_key": MANAGE})) as live:
        yield live


def give_key(page: Page, key: str) -> None:
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Use this key").click()


def test_three_thousand_tasks_are_searched_sorted_and_shown_by_page(page: Page, crowded: Live) -> None:
    page.goto(f"{crowded.client.base_url}/")
    give_key(page, PREDICT)
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(25)
    expect(page.get_by_text("1 to 25 of 3,000")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(rows.first).to_contain_text("task-0025")
    page.get_by_role("button", name=re.compile("^Task")).click()
    page.get_by_role("button", name="Previous").click()
    expect(rows.first).to_contain_text("task-2999")
    page.get_by_label("Search by name").fill("task-12")
    expect(page.get_by_text("1 to 25 of 100")).to_be_visible()
    page.get_by_label("Show").select_option(label="With a canary")
    expect(page.get_by_text("No task fits.", exact=False)).to_be_visible()


def test_a_wrong_key_is_told_and_no_key_is_ever_kept(page: Page, crowded: Live) -> None:
    page.goto(f"{crowded.client.base_url}/#/task/task-0001")
    give_key(page, "wrong-key-0123456789")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("alert")).to_have_text("The server refused that key for this action.")
    give_key(page, PREDICT)
    expect(page.get_by_role("heading", name="task-0001")).to_be_visible()
    page.get_by_role("button", name="Download version 1").click()  # needs another kind of key
    expect(dialog).to_contain_text("a key that may manage")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("alert")).to_contain_text("This needs a key.")
    with page.expect_download():
        page.get_by_role("button", name="Download version 1").click()
        give_key(page, MANAGE)
    expect(dialog).to_have_count(0)
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])")
    assert PREDICT not in kept
    assert MANAGE not in kept
    page.get_by_role("button", name="Forget keys").click()
    page.reload()
    expect(dialog).to_be_visible()


def test_a_manage_key_is_asked_for_once(page: Page, crowded: Live) -> None:
    page.goto(f"{crowded.client.base_url}/")
    give_key(page, MANAGE)
    page.get_by_role("link", name="task-0003").click()
    with page.expect_download():
        page.get_by_role("button", name="Download version 1").click()
    page.get_by_role("link", name="Live").click()
    expect(page.get_by_text("Tasks ready")).to_be_visible()


def test_a_lost_connection_is_shown_and_heals(page: Page, console: Live) -> None:
    page.goto(f"{console.client.base_url}/#/live")
    expect(page.get_by_text("Tasks ready")).to_be_visible()
    page.context.set_offline(True)
    expect(page.get_by_text("The server cannot be reached.", exact=False)).to_be_visible()
    page.get_by_role("link", name="Tasks").first.click()
    expect(page.get_by_text("The request did not reach the server.")).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_text("The server is back.")).to_be_visible()
    expect(page.get_by_role("link", name="cats")).to_be_visible()  # by itself


def test_the_live_page_counts_what_happens(page: Page, console: Live, image: Path) -> None:
    page.goto(f"{console.client.base_url}/#/live")
    expect(page.locator(".chart canvas")).to_have_count(5)
    for _ in range(3):
        console.client.post("/v1/tasks/cats/predict", content=image.read_bytes())
    console.client.post("/v1/tasks/nothing/predict", content=image.read_bytes())
    rate = page.locator(".tiles div", has_text="Requests/s").locator("dd").first
    expect(rate).to_have_text(re.compile(r"[1-9]"))
    expect(page.get_by_role("region", name="Refusals by reason")).to_contain_text("unknown_task")
    expect(page.locator(".tiles div", has_text="p99").locator("dd").first).to_have_text(re.compile(r"\d"))


def test_the_reference_shows_every_route(page: Page, console: Live) -> None:
    page.goto(f"{console.client.base_url}/docs")
    paths = console.client.get("/openapi.json").json()["paths"]
    expect(page.locator(".operation")).to_have_count(sum(map(len, paths.values())))
    page.get_by_label("Search routes").fill("rollback")
    expect(page.locator(".operation")).to_have_count(1)
    expect(page.locator(".operation")).to_contain_text("/v1/tasks/{task}/rollback")
    page.locator("summary", has_text="409").click()
    expect(page.locator(".operation")).to_contain_text("nothing_to_roll_back")

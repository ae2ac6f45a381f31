"""Accessibility: axe-core finds no serious fault, 390 pixels are wide enough, and the keyboard suffices."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.service.adapters import make
from tests.service.asking import put
from tests.service.live import Live

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
PAGES = ("", "#/try", "#/task/cats", "#/task/bare", "#/task/graded", "#/live", "docs")


@pytest.fixture(scope="module", autouse=True)
def _figures(console: Live, graded: bytes) -> None:
    """A task with every part that a page can have: figures, two versions, and a split."""
    put(console, "graded", make(22, classes=3).data)
    put(console, "graded", graded)
    split = {"weights": {"1": 0.1, "2": 0.9}}
    console.client.put("/v1/tasks/graded/aliases/live", json=split).raise_for_status()


def show(page: Page, console: Live, where: str) -> None:
    page.goto("about:blank")
    page.goto(f"{console.client.base_url}/{where}")
    expect(page.locator("main h1")).to_be_visible()
    expect(page.locator(".loading")).to_have_count(0)


def faults(page: Page) -> list[str]:
    """The faults that axe-core reports as serious or critical."""
    page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate("axe.run()")
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary']}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Page, console: Live, image: Path, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for where in PAGES:
        show(page, console, where)
        assert faults(page) == [], where
    show(page, console, "#/try")
    page.set_input_files("input[type=file]", image)
    page.get_by_role("button", name="These tasks").click()
    page.get_by_label("cats").check()
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator(".answer")).to_have_count(1)
    assert faults(page) == []
    show(page, console, "#/task/cats")
    page.locator(".upload input[type=file]").set_input_files(image)
    expect(page.locator(".checks li.failed")).to_have_count(1)
    page.get_by_role("button", name="Delete the task").click()
    assert faults(page) == []


def test_pages_are_as_wide_as_a_telephone(page: Page, console: Live) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for where in PAGES:
        show(page, console, where)
        assert page.evaluate("document.documentElement.scrollWidth") == 390, where


def test_the_keyboard_reaches_and_moves_everything(page: Page, console: Live) -> None:
    show(page, console, "")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.get_by_role("button", name="Version").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("columnheader", name="Version")).to_have_attribute("aria-sort", "ascending")
    page.get_by_role("link", name="cats").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="cats")).to_be_focused()  # a screen reader begins with the new page


def test_the_appearance_can_be_chosen(page: Page, console: Live) -> None:
    page.emulate_media(color_scheme="light")
    show(page, console, "#/live")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_label("Appearance").select_option(label="Dark")
    assert page.evaluate(ground) != light
    page.get_by_label("Appearance").select_option(label="Light")
    assert page.evaluate(ground) == light

"""Try it: an image goes to tasks by file, by drop, by paste or by camera; the answers are those of the API."""

import base64
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from adapters_store import pack
from tests.service.adapters import make, with_answers
from tests.service.live import Live
from tests.service.processes import ROOT


def open_try(page: Page, console: Live, task: str = "") -> None:
    page.goto(f"{console.client.base_url}/#/try/{task}")
    expect(page.get_by_role("heading", name="Try it")).to_be_visible()


def ask(page: Page) -> None:
    page.get_by_role("button", name="Ask", exact=True).click()


def hand_over(page: Page, image: Path, event: str) -> None:
    """A drop or a paste, as a browser makes it."""
    page.evaluate(
        """([data, event]) => {
          const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
          const made = event === "drop"
            ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
          (event === "drop" ? document.querySelector(".drop") : document.body).dispatchEvent(made);
        }""",
        [base64.b64encode(image.read_bytes()).decode(), event],
    )


def test_every_task_answers_as_the_api_does(page: Page, console: Live, image: Path) -> None:
    open_try(page, console)
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_disabled()
    page.set_input_files("input[type=file]", image)
    ask(page)
    cards = page.locator(".answer")
    expect(cards).to_have_count(2)
    answer = console.client.post("/v1/predict?top_k=3", content=image.read_bytes()).json()
    for card, each in zip(cards.all(), answer["answers"], strict=True):
        expect(card.get_by_role("heading")).to_have_text(each["task"])
        labels = [prediction["label"] for prediction in each["results"][0]["predictions"]]
        expect(card.locator(".label")).to_have_text(labels)
        expect(card).to_contain_text("Shared trunk")
    expect(page.get_by_text("Forward pass")).to_be_visible()


def test_a_task_below_the_limit_says_that_it_is_not_sure(page: Page, console: Live, image: Path) -> None:
    open_try(page, console, "cats")
    page.set_input_files("input[type=file]", image)
    page.get_by_label(re.compile("Unsure below")).fill("100")
    ask(page)
    expect(page.locator(".answer .caution")).to_contain_text("No label reaches 100")
    page.get_by_label(re.compile("Unsure below")).fill("0")
    expect(page.locator(".answer .caution")).to_have_count(0)


def test_an_image_can_be_dropped_and_pasted(page: Page, console: Live, image: Path) -> None:
    open_try(page, console, "cats")
    for event in ("drop", "paste"):
        hand_over(page, image, event)
        expect(page.get_by_role("figure").get_by_text("dropped.png")).to_be_visible()
        ask(page)
        expect(page.locator(".answer")).to_have_count(1)


def test_the_camera_takes_an_image(page: Page, console: Live) -> None:
    open_try(page, console, "cats")
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("button", name="Take the picture").click()
    ask(page)
    expect(page.locator(".answer")).to_have_count(1)
    expect(page.locator("video")).to_have_count(0)


def test_what_is_no_image_is_refused_by_the_page_or_by_the_server(page: Page, console: Live, tmp_path: Path) -> None:
    text, broken = tmp_path / "notes.txt", tmp_path / "broken.png"
    text.write_text("no image")
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    open_try(page, console)
    page.set_input_files("input[type=file]", text)
    expect(page.get_by_role("alert")).to_have_text("This is not an image.")
    page.set_input_files("input[type=file]", broken)
    ask(page)
    expect(page.get_by_role("alert")).to_contain_text("image")
    expect(page.locator(".answer")).to_have_count(0)


def test_the_code_that_is_shown_asks_the_same(page: Page, console: Live, image: Path) -> None:
    open_try(page, console, "cats")
    page.set_input_files("input[type=file]", image)
    ask(page)
    best = page.locator(".answer .label").first.inner_text()
    snippets = page.get_by_role("region", name="The same request")
    snippets.get_by_role("button", name="Python").click()
    program = snippets.locator("code").inner_text()
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{program}"],
        cwd=image.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"label='{best}'" in done.stdout.split("Prediction")[1]
    snippets.get_by_role("button", name="curl").click()
    command = snippets.locator("code").inner_text()
    answer = subprocess.run(command, shell=True, cwd=image.parent, capture_output=True, text=True, check=True)
    assert f'"label":"{best}"' in answer.stdout
    snippets.get_by_role("button", name="Copy").click()
    expect(snippets.get_by_role("status")).to_have_text("Copied")


@pytest.mark.parametrize(("threshold", "told"), [(1e-3, 1), (1e6, 0)])
def test_an_image_that_no_class_of_a_task_fits_is_said_plainly(
    page: Page, console: Live, image: Path, threshold: float, told: int
) -> None:
    data = make(90, activation="softmax", threshold=threshold).data
    assert console.client.put("/v1/tasks/strange", content=data).status_code == 201
    try:
        open_try(page, console, "strange")
        page.set_input_files("input[type=file]", image)
        ask(page)
        expect(page.locator(".answer")).to_have_count(1)
        words = re.compile("Not one of this task's classes")
        expect(page.locator(".answer .caution").filter(has_text=words)).to_have_count(told)
    finally:
        console.client.delete("/v1/tasks/strange")


def test_an_image_that_is_given_no_label_is_said_so(page: Page, console: Live, image: Path) -> None:
    silent = with_answers(make(92).adapter, "sigmoid", 1e6)
    assert silent.manifest.answers is not None
    answers = replace(silent.manifest.answers, thresholds=(1.0,) * 4)
    data = pack(replace(silent, manifest=replace(silent.manifest, answers=answers)))
    assert console.client.put("/v1/tasks/silent", content=data).status_code == 201
    try:
        found = console.client.post("/v1/tasks/silent/predict", content=image.read_bytes()).json()["results"][0]
        assert (found["predictions"], found["labels"]) == ([], [])
        open_try(page, console, "silent")
        page.set_input_files("input[type=file]", image)
        ask(page)
        caution = page.locator(".answer .caution").first
        expect(caution).to_contain_text("No label reaches its threshold")
        expect(caution).to_contain_text(re.compile(r"needs 100\s%"))
        expect(page.locator(".answer .label")).to_have_count(3)  # the page asks for so many
    finally:
        console.client.delete("/v1/tasks/silent")

"""A real browser and a real server. A page that loads from elsewhere, or breaks its own policy, fails the test."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

    from tests.service.live import Live

_numbers = count()
_ARGUMENTS = (
    "--no-sandbox",  # a container's root may not use it
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)

_PERMISSIONS = ("clipboard-read", "clipboard-write", "camera")
_PATIENCE = 30_000  # milliseconds, on a machine that may be busy


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Debian's Chromium. Of a module, because Playwright keeps an event loop running as long as it is open."""
    chromium = shutil.which("chromium")
    if chromium is None and "CI" not in os.environ:
        pytest.skip("no chromium is installed (on Debian: apt-get install chromium)")
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415 - only if there is a browser

    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: "Browser") -> "Iterator[BrowserContext]":
    """A fresh profile."""
    context = browser.new_context(viewport={"width": 1280, "height": 860}, permissions=list(_PERMISSIONS))
    context.set_default_timeout(_PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(context: "BrowserContext") -> "Iterator[Page]":
    """A page. The test fails if the page raised an error, broke its policy, or loaded from elsewhere."""
    page, wrong, asked = context.new_page(), list[str](), list[str]()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if "Security Policy" in line.text else None)
    page.on("request", lambda request: asked.append(request.url))
    yield page
    assert wrong == []
    assert [url for url in asked if not url.startswith(("http://127.0.0.1:", "blob:http://127.0.0.1:"))] == []


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Live]":
    """A server with a task of two versions, and one without live sites."""
    from service.settings import Settings  # noqa: PLC0415 - as the other servers for tests
    from tests.service.adapters import make  # noqa: PLC0415
    from tests.service.live import serving  # noqa: PLC0415

    store = str(tmp_path_factory.mktemp("console") / "store.db")
    tasks = {"cats": make(8, classes=3), "bare": make(3, classes=2, live=(), width=0)}
    with serving(Settings(store=store, request_seconds=60.0), tasks) as live:
        yield live


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image as a file."""
    from tests.service.live import encode, picture  # noqa: PLC0415

    path = tmp_path / "some image.png"
    path.write_bytes(encode(picture(1, size=(120, 100))))
    return path


@pytest.fixture(scope="module")
def graded() -> bytes:
    """A task adapter file of three classes, with the figures of its validation images."""
    from adapters_store import Validation, pack  # noqa: PLC0415
    from adapters_store.answers import SOFTMAX  # noqa: PLC0415
    from tests.service.adapters import make  # noqa: PLC0415

    made = make(21, classes=3, activation=SOFTMAX).adapter
    cells = ((0, 0, 9), (0, 2, 1), (1, 1, 10), (2, 0, 4), (2, 2, 6))
    figures = Validation(30, (0.692, 1.0, 0.857), (0.9, 1.0, 0.6), (0.8, 1.0, 0.7), cells)
    assert made.manifest.answers is not None
    answers = replace(made.manifest.answers, validation=figures)
    return pack(replace(made, manifest=replace(made.manifest, answers=answers)))


@pytest.fixture
def task() -> str:
    """A task id that no other test uses."""
    return f"task-{next(_numbers)}"

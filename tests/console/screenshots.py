"""Makes the pictures of docs/console: every page over the tasks that ship, light and dark, with real traffic.

python -m tests.console.screenshots [FOLDER]
"""

import io
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from sklearn.datasets import load_digits

from adapters_store import bundled, open_store
from service.settings import Settings
from tests.service.adapters import make
from tests.service.live import Live, encode, serving

_MOST_BYTES = 150_000  # of a picture
_WATCHED_MS = 30_000  # of the live page
_ASKED = ("digits", "digits-parity", "gtsrb", "cifar10", "dtd10", "pacs-sketch")


def main(folder: Path) -> None:
    """Start a server, fill it, and photograph it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        path = str(Path(place) / "store.db")
        store = open_store(path)
        bundled.seed(store)
        store.close()
        with serving(Settings(store=path, request_seconds=60.0)) as live:
            _publish(live)
            image = Path(place) / "three.png"
            image.write_bytes(_digits()[3])
            _photograph(live, image, folder)


def _publish(live: Live) -> None:
    """A second version for two tasks, one of them with a tenth of the traffic."""
    for task, made in (("digits", make(5, classes=10, live=(14, 17, 19, 21, 22, 23), width=4)),
                       ("gtsrb", make(6, classes=43, live=(20, 22, 23), width=6))):  # fmt: skip
        live.client.put(f"/v1/tasks/{task}?activate=false", content=made.data).raise_for_status()
    weights = {"weights": {"1": 0.9, "2": 0.1}}
    live.client.put("/v1/tasks/digits/aliases/live", json=weights).raise_for_status()


def _digits() -> list[bytes]:
    pictures = (load_digits().images[:200] / 16 * 255).astype(np.uint8)
    large = (Image.fromarray(each).resize((96, 96), Image.Resampling.BICUBIC) for each in pictures)
    return [encode(np.asarray(each)) for each in large]


def _photograph(live: Live, image: Path, folder: Path) -> None:
    with _traffic(live), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        pages = {"light": browser.new_page(color_scheme="light"), "dark": browser.new_page(color_scheme="dark")}
        for name, prepare in _PAGES.items():
            for page in pages.values():
                page.set_viewport_size({"width": 1200, "height": 800})
                prepare(page, str(live.client.base_url), image)
            pages["light"].wait_for_timeout(_WATCHED_MS if name == "live" else 500)
            for scheme, page in pages.items():
                _save(page.screenshot(full_page=name != "api"), folder / f"{name}-{scheme}.png")
        browser.close()


@contextmanager
def _traffic(live: Live) -> Iterator[None]:
    done = threading.Event()
    thread = threading.Thread(target=_ask, args=(live, done))
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _ask(live: Live, done: threading.Event) -> None:
    """Requests of one to six tasks, and a few that are refused."""
    random, digits = np.random.default_rng(0), _digits()
    while not done.wait(random.exponential(0.05)):
        tasks = random.choice(_ASKED, random.integers(1, len(_ASKED) + 1), replace=False)
        image = digits[random.integers(len(digits))]
        live.client.post("/v1/predict", params=[("tasks", str(task)) for task in tasks], content=image)
        if random.random() < 0.04:
            live.client.post("/v1/tasks/digits/predict", content=b"no image")
        if random.random() < 0.02:
            live.client.post("/v1/tasks/nothing/predict", content=image)


def _tasks(page: Page, url: str, _: Path) -> None:
    page.goto(url)
    page.locator("tbody tr").first.wait_for()
    page.wait_for_timeout(15_000)  # until there are rates


def _try(page: Page, url: str, image: Path) -> None:
    page.goto(f"{url}/#/try")
    page.set_input_files("input[type=file]", image)
    page.get_by_role("button", name="Ask", exact=True).click()
    page.locator(".answer").first.wait_for()


def _task(page: Page, url: str, _: Path) -> None:
    page.goto(f"{url}/#/task/digits")
    page.locator(".sites").wait_for()
    made = make(7, classes=10, live=(12, 16, 18, 20, 22, 23), width=5)
    page.locator(".upload input[type=file]").set_input_files(
        {"name": "third.safetensors", "mimeType": "application/octet-stream", "buffer": made.data}
    )
    page.locator(".checks").wait_for()


def _live(page: Page, url: str, _: Path) -> None:
    page.goto(f"{url}/#/live")


def _api(page: Page, url: str, _: Path) -> None:
    page.goto(f"{url}/docs")
    page.locator(".operation").first.wait_for()


_PAGES: dict[str, Callable[[Page, str, Path], None]] = {
    "tasks": _tasks,
    "try": _try,
    "task": _task,
    "live": _live,
    "api": _api,
}


def _save(data: bytes, path: Path) -> None:
    """As it is if it is small enough, else with fewer colours."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    picture.save(path, optimize=True)
    if path.stat().st_size > _MOST_BYTES:
        few = picture.quantize(method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/console"))

"""The images that the documents' commands send are answered as the documents say."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adapters_store import open_store
from adapters_store.bundled import bundled_tasks
from service.settings import Settings
from tests.service.asking import answer, form, named
from tests.service.live import Live, serving

SAMPLES = Path(__file__).parents[2] / "docs/samples"
DIGITS = {"three": "3", "eight": "8"}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with the tasks that ship."""
    path = str(tmp_path_factory.mktemp("samples") / "store.db")
    store = open_store(path)
    store.seed(bundled_tasks())
    store.close()
    with serving(Settings(store=path, request_seconds=60.0)) as live:
        yield live


@pytest.mark.parametrize("name", DIGITS)
def test_a_sample_is_the_digit_that_it_is_called_after(shipped: Live, name: str) -> None:
    data = (SAMPLES / f"{name}.png").read_bytes()
    (result,) = answer(shipped.client.post("/v1/tasks/digits/predict?top_k=1", content=data)).results
    assert (named(result)[0].label, named(result)[0].probability > 0.5) == (DIGITS[name], True)
    with Image.open(SAMPLES / f"{name}.png") as image:
        pixels = np.asarray(image.convert("L"))
    assert (pixels[0, 0], pixels.max() > 200, pixels.mean() < 110) == (0, True, True)  # white on black


def test_several_samples_are_odd_and_even(shipped: Live) -> None:
    images = [(SAMPLES / f"{name}.png").read_bytes() for name in DIGITS]
    found = answer(shipped.client.post("/v1/tasks/digits-parity/predict?top_k=1", **form(*images)))
    assert [named(result)[0].label for result in found.results] == ["odd", "even"]

"""Every example of the tutorials, of README and of the page about HTTP is run as it stands there."""

import shutil
from pathlib import Path

import pytest

from tests.documents.examples import ROOT, Example, examples, run

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("name", ["first-task", "production", "operate"])
def test_a_tutorial_does_what_it_says(name: str, tmp_path: Path) -> None:
    run(examples(ROOT / f"docs/tutorials/{name}.md"), tmp_path)


@pytest.mark.parametrize("page", ["README.md", "docs/serving.md"])
def test_the_examples_over_http_do_what_they_say(page: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs/samples", tmp_path / "docs/samples")
    shutil.copy(ROOT / "adapters_store/bundled/digits-parity.safetensors", tmp_path / "pets.safetensors")
    run(examples(ROOT / page), tmp_path)


def test_a_command_that_fails_fails_the_document(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        run([Example("sh", "", "false\n")], tmp_path)


def test_an_output_that_is_not_what_the_document_says_fails_it(tmp_path: Path) -> None:
    blocks = [Example("sh", "", "echo one; echo two\n"), Example("text", "", "one\nthr…\n")]
    with pytest.raises(AssertionError, match="is not in"):
        run(blocks, tmp_path)

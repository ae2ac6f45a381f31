"""The documents become a site whose links lead somewhere, and which loads nothing from elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.site_hooks import foreign, project_name, relinked, site_name, spaced

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("project", "site"),
    [
        ("README.md", "index.md"),
        ("docs/lab/README.md", "lab/README.md"),
        ("CONTRIBUTING.md", "project/CONTRIBUTING.md"),
    ],
)
def test_a_document_has_one_place_on_the_site(project: str, site: str) -> None:
    assert site_name(project) == site
    assert project_name(site) == project


def test_links_lead_where_the_site_has_their_targets() -> None:
    assert relinked("[a](docs/store.md#repair)", "index.md") == "[a](store.md#repair)"
    assert relinked("[a](../CONTRIBUTING.md)", "store.md") == "[a](project/CONTRIBUTING.md)"
    assert relinked("[a](../docs/x.md)", "project/adapters_store/README.md") == "[a](../../x.md)"
    assert relinked("![a](console/a.png)", "console.md") == "![a](console/a.png)"


def test_a_link_that_leads_to_no_page_becomes_text() -> None:
    assert relinked("see [the licence](LICENSE).", "index.md") == "see the licence."
    assert relinked("see [the figures](results/engine).", "performance.md") == "see the figures."


@pytest.mark.parametrize("link", ["[a](https://arxiv.org/abs/1)", "[a](#here)"])
def test_other_links_stay(link: str) -> None:
    assert relinked(link, "index.md") == link


def test_a_list_below_a_paragraph_gets_an_empty_line() -> None:
    assert "\n".join(spaced("Two:\n- a\n  more\n- b\n\nend")) == "Two:\n\n- a\n  more\n- b\n\nend"
    assert "\n".join(spaced("```\nx\n- y\n```")) == "```\nx\n- y\n```"


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<img alt="" src="//cdn.example/x.png">',
        '<link href="https://fonts.example/css" rel="stylesheet">',
        "a { background: url(https://cdn.example/x.png) }",
        '@import "https://fonts.example/css";',
    ],
)
def test_a_page_that_loads_from_another_host_is_found(page: str) -> None:
    assert foreign(page)


def test_a_link_for_readers_loads_nothing() -> None:
    assert foreign('<a href="https://arxiv.org/abs/1">paper</a> <img src="a.png"> a { background: url(a.png) }') == []


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Two commands" in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "service.client.predict_calls.predict" in (tmp_path / "reference/python.html").read_text(encoding="utf-8")

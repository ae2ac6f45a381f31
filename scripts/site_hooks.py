"""Hooks of MkDocs, which makes a site of the documents (mkdocs.yml).

The documents are written for GitHub, and stay readable there. Three things differ on a site. Pages outside of docs/,
such as CONTRIBUTING.md, are taken in under `project/`, and README.md is the first page. A link to a source file or a
folder, which no page shows, becomes plain text. A list may begin right below a paragraph.

After the build, a page that would load anything from another host is an error.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

OUTSIDE = (  # documents outside of docs/ that are pages
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "adapters_store/README.md",
    "tests/attacks/README.md",
    "backbone/weights/swin_nano_patch4_window4_64/README.md",
    "backbone/weights/swin_nano_patch4_window4_64.dinov2_distilled/README.md",
)

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]*)\)")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_FENCE = re.compile(r"\s*(```|~~~)")
_ITEM = re.compile(r"([-*]|\d+\.) ")
_LOADS = re.compile(  # what a browser fetches by itself; a link that a reader follows is no such thing
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=["']?(?:https?:)?//[^"'\s>]*"""
    r"""|<link\b(?![^>]*\brel=["']?canonical)[^>]*\bhref=["']?(?:https?:)?//[^"'\s>]*"""
    r"""|url\(\s*["']?(?:https?:)?//[^)]*\)|@import\s*["'](?:https?:)?//[^"']*"""
)


def site_name(path: str) -> str | None:
    """The place on the site of a file of the project, both relative; None if it has none."""
    if path == "README.md":
        return "index.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"project/{path}" if path in OUTSIDE else None


def project_name(page: str) -> str:
    """The file of the project behind a page of the site; the opposite of `site_name`."""
    if page == "index.md":
        return "README.md"
    return page.removeprefix("project/") if page.startswith("project/") else f"docs/{page}"


def relinked(text: str, page: str) -> str:
    """The text of a page with links that lead where the site has their targets."""
    here = posixpath.dirname(project_name(page))

    def replaced(link: re.Match[str]) -> str:
        name, mark, fragment = link[3].partition("#")
        if not name or _ELSEWHERE.match(link[3]):
            return link[0]
        path = posixpath.normpath(posixpath.join(here, name))
        target = site_name(path)
        if target is None or "." not in posixpath.basename(path):  # a source file, or a folder
            return link[2]
        return f"{link[1]}[{link[2]}]({posixpath.relpath(target, posixpath.dirname(page))}{mark}{fragment})"

    return _LINK.sub(replaced, text)


def spaced(text: str) -> Iterator[str]:
    """The lines, with an empty one before a list that begins right below a paragraph, as Python-Markdown wants it."""
    fenced, listed, before = False, False, ""
    for line in text.split("\n"):
        fenced = fenced != bool(_FENCE.match(line))
        if not fenced and _ITEM.match(line):
            if before.strip() and not listed:
                yield ""
            listed = True
        elif not line.strip() or not line.startswith(" "):
            listed = False
        yield line
        before = line


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take in the documents outside of docs/."""
    root = Path(config.config_file_path).parent
    for path in OUTSIDE:
        name = site_name(path)
        if name is not None:
            files.append(File.generated(config, name, abs_src_path=str(root / path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:  # noqa: ANN401 - what MkDocs hands over
    """Adapt a page to the site."""
    return "\n".join(spaced(relinked(markdown, page.file.src_uri)))


def foreign(text: str) -> list[str]:
    """All that a browser would load from another host for this page or style sheet."""
    return _LOADS.findall(text)


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that is not complete by itself."""
    site = Path(config.site_dir)
    for file in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        if found := foreign(file.read_text(encoding="utf-8")):
            raise PluginError(f"{file.relative_to(site)} loads from another host: {found[0]}")

"""A self-contained page of HTML, without network, scripts or other files.

All given text is escaped: a page takes only `Markup`, and only the functions here make it.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from string import Template
from typing import NewType

from training.report.drawing import Chart
from training.report.tables import Table

Markup = NewType("Markup", str)

# The policy is for the day something here goes wrong: a browser then still loads and runs nothing.
_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 68rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
div.wide { overflow-x: auto; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #e4e4e4; white-space: nowrap; }
th:first-child, td:first-child, table.facts td { text-align: left; }
table.facts td { white-space: normal; } table.facts td:first-child { color: #555; white-space: nowrap; }
div.gallery { display: flex; flex-wrap: wrap; gap: .6rem; margin: .6rem 0; }
div.gallery figure { margin: 0; width: 6.5rem; } div.gallery figcaption { font-size: 11px; overflow-wrap: anywhere; }
div.gallery img { width: 96px; image-rendering: auto; display: block; }
table.matrix td, table.matrix th { padding: .1rem .35rem; font-size: 11px; } table.matrix td { text-align: center; }
table.matrix th.column { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; }
details { margin: .3rem 0; } summary { cursor: pointer; }
figure { margin: 1.2rem 0; } figcaption { color: #444; font-size: 13px; max-width: 50rem; }
svg { max-width: 100%; height: auto; }
svg text { font-family: system-ui, sans-serif; }
</style>
</head>
<body>
<h1>$title</h1>
$body
</body>
</html>
""")


def page(title: str, parts: Iterable[Markup]) -> str:
    """A whole page."""
    return _PAGE.substitute(title=escape(title), body="\n".join(parts))


def heading(text: str) -> Markup:
    """Of a section."""
    return Markup(f"<h2>{escape(text)}</h2>")


def paragraph(text: str) -> Markup:
    """Plain text."""
    return Markup(f"<p>{escape(text)}</p>")


def facts(values: Mapping[str, object]) -> Markup:
    """Names and values, one a line."""
    rows = (f"<tr><td>{escape(name)}</td><td>{escape(_words(value))}</td></tr>" for name, value in values.items())
    return Markup(f'<table class="facts">{"".join(rows)}</table>')


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple | list):
        return ", ".join(map(_words, value)) or "none"
    return "none" if value is None else str(value)


def figures(table: Table) -> Markup:
    """A table of figures: the first column is what the others are about."""
    header, rows = table
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return Markup(f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>')


def chart(drawn: Chart) -> Markup:
    """A figure with its caption; the drawing library has escaped the text in it."""
    return Markup(f"<figure>{drawn.svg}<figcaption>{escape(drawn.caption)}</figcaption></figure>")


def picture(jpeg: str, caption: str) -> Markup:
    """A small picture, given as base64 of a JPEG, with a line of text under it."""
    text = escape(caption)
    image = f'<img src="data:image/jpeg;base64,{escape(jpeg)}" alt="{text}">'
    return Markup(f"<figure>{image}<figcaption>{text}</figcaption></figure>")


def gallery(pictures: Iterable[Markup]) -> Markup:
    """Pictures side by side."""
    return Markup(f'<div class="gallery">{"".join(pictures)}</div>')


def details(title: str, parts: Iterable[Markup], anchor: str) -> Markup:
    """A section that opens on a click; links lead to `anchor`."""
    return Markup(f'<details id="{escape(anchor)}"><summary>{escape(title)}</summary>{"".join(parts)}</details>')


def matrix(labels: Sequence[str], counts: Sequence[Sequence[int]], links: Mapping[tuple[int, int], str]) -> Markup:
    """A square table of counts; cells are shaded by their share of the row; some link to an anchor."""
    head = "".join(f'<th class="column">{escape(label)}</th>' for label in labels)
    rows = "".join(
        f"<tr><th>{escape(label)}</th>"
        + "".join(_cell(count, sum(row), links.get((place, column))) for column, count in enumerate(row))
        + "</tr>"
        for place, (label, row) in enumerate(zip(labels, counts, strict=True))
    )
    return Markup(f'<div class="wide"><table class="matrix"><tr><th></th>{head}</tr>{rows}</table></div>')


def _cell(count: int, total: int, anchor: str | None) -> str:
    if not count:
        return "<td></td>"
    text = f'<a href="#{escape(anchor)}">{count}</a>' if anchor else str(count)
    return f'<td style="background: rgba(0, 114, 178, {0.6 * count / total:.2f})">{text}</td>'

"""A self-contained page of HTML, without network, scripts or other files.

All given text is escaped: a page takes only `Markup`, and only the functions here make it.
"""

from collections.abc import Iterable, Mapping
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
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
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

"""Writes docs/reference/ from the code: the settings, the REST routes and the metrics of a server.

python scripts/make_reference.py            # write
python scripts/make_reference.py --check    # exit status 1 if a page is out of date
"""

import asyncio
import json
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx2 as httpx

from adapters_store import open_store
from backbone import load_backbone
from mimi.commands.serve import SECTIONS, secret, unit
from service.engine import Engine
from service.http.app import create_app
from service.process.configuration import variable
from service.service import Service
from service.settings import Settings

FOLDER = Path("docs/reference")
_KEY = "k" * 16
_WIDTH = 100  # characters of a line of prose
_MADE = "<!-- Made by scripts/make_reference.py. Do not edit it. -->"
_REST = """\
Every route of a server, from its OpenAPI document. `/openapi.json` of a server has all of it, also
for programs that generate clients; `/docs` shows it with examples. [The rules of every route](../api.md) are
on a page of their own."""
_SETTINGS = """\
Every setting of `mimi serve`. Each is an option (`--idle-seconds`), a variable
(`MIMI_IDLE_SECONDS`), or a key of the file that `--config` names (`idle_seconds`).
[Settings](../operating.md#settings) explains which one wins. Keys have no option."""
_METRICS = """\
Every metric of `/metrics`, in Prometheus' text format. [What is measured](../deploying.md#what-is-measured) says
how many series there can be, and what the units are."""


def pages() -> Mapping[Path, str]:
    """Every page with its text."""
    with tempfile.TemporaryDirectory() as folder:
        service = _service(Path(folder))
        document = asyncio.run(_openapi(service))
        described = sorted(_families(service))
        service.store.close()
    return {
        FOLDER / "settings.md": _page("Settings", _SETTINGS, settings()),
        FOLDER / "rest.md": _page("REST routes", _REST, rest(document)),
        FOLDER / "metrics.md": _page("Metrics", _METRICS, metrics(described)),
    }


def settings() -> Iterator[str]:
    """A table for each section of the settings."""
    for name, field in Settings.model_fields.items():
        if name in SECTIONS:
            yield from ("", f"## {SECTIONS[name]}", "| setting | default | unit | |", "|---|---|---|---|")
        note = f" By `{variable(name)}` or the file alone." if secret(field) else ""
        yield f"| `{name}` | {_default(field.default)} | {unit(field)} | {_cell(str(field.description))}.{note} |"


def rest(document: Mapping[str, Any]) -> Iterator[str]:
    """A section for each route, and a table for each schema."""
    yield from ("", "## Routes")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield from ("", f"### {method.upper()} {path}")
            yield from _prose(operation.get("description") or operation.get("summary", ""))
            yield from _parameters(operation.get("parameters", ()))
            yield from _body(operation.get("requestBody"))
            yield from _answers(operation["responses"])
    yield from ("", "## Schemas")
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield from ("", f"### {name}")
        yield from _prose(schema.get("description", ""))
        yield from _fields(schema)


def metrics(families: Sequence[tuple[str, str, tuple[str, ...], str]]) -> Iterator[str]:
    """One table of (name, kind, labels, text)."""
    yield from ("", "| metric | kind | labels | |", "|---|---|---|---|")
    for name, kind, labels, text in families:
        shown = name + "_total" if kind == "counter" else name
        yield f"| `{shown}` | {kind} | {', '.join(labels)} | {_cell(text)} |"


def _service(folder: Path) -> Service:
    keys = {"predict_key": _KEY + "1", "manage_key": _KEY + "2", "metrics_key": _KEY + "3"}
    chosen = Settings.model_validate({"store": str(folder / "store.db"), **keys})
    return Service(chosen, Engine(load_backbone()), open_store(chosen.store))


async def _openapi(service: Service) -> Mapping[str, Any]:
    transport = httpx.ASGITransport(create_app(service))
    headers = {"Authorization": f"Bearer {_KEY}2"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        found: Mapping[str, Any] = (await client.get("/openapi.json")).raise_for_status().json()
        return found


def _families(service: Service) -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Our metrics as (name, kind, labels, text)."""
    registry: Any = service.metrics._registry  # it names no labels of a metric without samples
    for collector in registry._collector_to_names:
        for family in collector.collect():
            labels = getattr(collector, "_labelnames", getattr(family, "_labelnames", ()))
            if family.name.startswith("mimi_"):
                yield family.name, family.type, tuple(labels), family.documentation


def _page(title: str, opening: str, lines: Iterator[str]) -> str:
    return "\n".join([f"# {title}", _MADE, "", opening, *lines]) + "\n"


def _prose(text: str) -> Iterator[str]:
    for paragraph in text.strip().split("\n\n"):
        yield from textwrap.wrap(" ".join(paragraph.split()), _WIDTH, break_long_words=False, break_on_hyphens=False)
        yield ""


def _parameters(parameters: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if parameters:
        yield from ("| parameter | in | type | |", "|---|---|---|---|")
    for parameter in parameters:
        need = "**needed** " if parameter.get("required") else ""
        text = _cell(parameter.get("description", ""))
        yield f"| `{parameter['name']}` | {parameter['in']} | {_type(parameter['schema'])} | {need}{text} |"
    if parameters:
        yield ""


def _body(body: Mapping[str, Any] | None) -> Iterator[str]:
    if body:
        yield from _prose(f"Body: {'; '.join(_contents(body['content']))}.")


def _answers(responses: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A row for each answer; errors, whose bodies are alike, in one line."""
    yield from ("| answer | | body |", "|---|---|---|")
    errors = dict[str, list[str]]()
    for status, response in sorted(responses.items()):
        bodies = "; ".join(_contents(response.get("content", {})))
        if int(status) >= HTTPStatus.BAD_REQUEST:
            errors.setdefault(bodies, []).append(status)
        else:
            yield f"| {status} | {_cell(response['description'])} | {bodies} |"
    yield from (f"| {', '.join(statuses)} | refused | {bodies} |" for bodies, statuses in errors.items())


def _contents(content: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for media, described in content.items():
        kind = _type(described.get("schema", {}))
        yield f"`{media}`" + (f" {kind}" if kind.startswith("[") else "")


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    properties = schema.get("properties", {})
    if not properties:
        yield _type(schema)
        return
    yield from ("| field | type | |", "|---|---|---|")
    for name, field in properties.items():
        need = "" if name in schema.get("required", ()) else "*may be left out* "
        yield f"| `{name}` | {_type(field)} | {need}{_cell(field.get('description', ''))} |"


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if options := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return " or ".join(dict.fromkeys(map(_type, options)))
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{_cell(json.dumps(value))}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_type(schema['additionalProperties'])}"
    kinds = schema.get("type", "any")
    return f"{kinds if isinstance(kinds, str) else ' or '.join(kinds)}{_range(schema)}"


def _range(schema: Mapping[str, Any]) -> str:
    least = schema.get("minimum", schema.get("exclusiveMinimum"))
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    if least is None:
        return "" if most is None else f", ≤ {most:g}"
    return f", ≥ {least:g}" if most is None else f", {least:g} to {most:g}"


def _default(value: object) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or compare them; 1 if one is out of date."""
    made = pages()
    if "--check" not in arguments:
        FOLDER.mkdir(parents=True, exist_ok=True)
        for path, text in made.items():
            path.write_text(text, encoding="utf-8")
        return 0
    old = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in old:
        print(f"{path} is out of date: python scripts/make_reference.py")
    if not old:
        print(f"{len(made)} pages say what the code says")
    return int(bool(old))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

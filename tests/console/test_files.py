"""The files of the console: complete, under a strict policy, with unchanged third-party files."""

import re
from hashlib import sha256
from pathlib import Path

import pytest

from service.settings import Settings
from tests.service.live import Live, serving

ROOT = Path(__file__).parents[2]
CONSOLE = ROOT / "service" / "console"
VENDORED = [CONSOLE / "vendor", ROOT / "tests" / "console" / "vendor"]
OWN = sorted((CONSOLE / "js").rglob("*.js"))
_ROW = re.compile(r"\| `([\w.]+)` \|.*`(\w+)\.LICENSE`.*`([0-9a-f]{64})` \|")
_FORBIDDEN = re.compile(r"localStorage|sessionStorage|indexedDB|document\.cookie|\beval\(|new Function|innerHTML")


def test_every_file_is_served_with_its_type_and_the_policy(console: Live) -> None:
    kinds = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    files = [path for path in CONSOLE.rglob("*") if path.suffix in kinds]
    assert len(files) > 25
    for path in files:
        response = console.client.get(f"/console/{path.relative_to(CONSOLE).as_posix()}")
        assert response.content == path.read_bytes()
        assert response.headers["content-type"].partition(";")[0] == kinds[path.suffix]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_forbid_what_comes_from_elsewhere_and_what_is_inline(console: Live, path: str) -> None:
    response = console.client.get(path)
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<style|<script(?! type=\"module\" src=)|\son\w+=|\sstyle=", response.text)


def test_a_file_that_the_browser_has_is_not_sent_again(console: Live) -> None:
    first = console.client.get("/console/js/main.js")
    again = console.client.get("/console/js/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert console.client.head("/").headers["content-length"] == str((CONSOLE / "index.html").stat().st_size)


@pytest.mark.parametrize("path", ["/console/", "/console/../settings.py", "/console/%2e%2e/settings.py", "/console/js"])
def test_nothing_else_is_served(console: Live, path: str) -> None:
    assert console.client.get(path).status_code == 404


def test_an_operator_can_turn_the_console_off(tmp_path: Path) -> None:
    with serving(Settings(store=str(tmp_path / "store.db"), console="off")) as live:
        assert [live.client.get(path).status_code for path in ("/", "/docs", "/console/js/main.js")] == [404] * 3
        assert live.client.get("/v1/tasks").status_code == 200


@pytest.mark.parametrize("folder", VENDORED, ids=["console", "tests"])
def test_what_others_wrote_is_recorded_with_version_licence_and_hash(folder: Path) -> None:
    rows = _ROW.findall((folder / "README.md").read_text())
    kept = {path.name for path in folder.iterdir() if path.suffix not in (".md", ".LICENSE")}
    assert {name for name, _, _ in rows} == kept
    for name, licence, digest in rows:
        assert sha256((folder / name).read_bytes()).hexdigest() == digest
        assert (folder / f"{licence}.LICENSE").stat().st_size > 1000


def test_hooks_differ_from_what_was_published_by_one_word() -> None:
    shipped = (CONSOLE / "vendor" / "hooks.mjs").read_bytes()
    published = shipped.replace(b'from"./preact.mjs"', b'from"preact"')
    assert sha256(published).hexdigest() in (CONSOLE / "vendor" / "README.md").read_text()


def test_our_modules_are_small_and_keep_keys_out_of_storage() -> None:
    for path in OWN:
        text = path.read_text()
        assert text.count("\n") < 300, path
        assert not _FORBIDDEN.search(text), path


def test_every_import_of_our_modules_is_a_file() -> None:
    for path in OWN:
        for target in re.findall(r'from "([^"]+)"', path.read_text()):
            assert target.startswith("."), path
            assert (path.parent / target).is_file(), (path, target)

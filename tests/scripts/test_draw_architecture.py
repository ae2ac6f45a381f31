"""The drawing of the architecture, over small trees of source."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from scripts.draw_architecture import BOXES_PER_ROW, drawn, layered, main, planned, reduced, rooms

SOURCE = {
    "mimi/__init__.py": '"""The command line."""',
    "mimi/cli.py": "def main():\n    import service.server",
    "service/__init__.py": '"""The server."""',
    "service/server.py": '"""Opens."""\nfrom service.http import app\nfrom service import settings',
    "service/http/__init__.py": '"""What speaks HTTP & JSON.\n\nMore."""',
    "service/http/app.py": "from service.tasks.table import Table\nimport service.settings",
    "service/tasks/table.py": "import numpy\nimport service.settings as chosen",
    "service/settings.py": "from service import unknown",
    "training/run.py": "from backbone import network",
    "adapters_store/store.py": "",
    "backbone/network.py": "",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in SOURCE.items():
        write(tmp_path, name, text)
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_a_room_is_a_folder_or_a_file_of_a_wing_and_any_other_package(root: Path) -> None:
    found = rooms(root)
    assert {name: room.files for name, room in found.items()} == {
        "mimi": 2,
        "service.server": 1,
        "service.http": 2,
        "service.tasks": 1,
        "service.settings": 1,
        "training.run": 1,
        "adapters_store": 1,
        "backbone": 1,
    }
    assert found["service.http"].purpose == "What speaks HTTP & JSON."


def test_a_room_imports_the_rooms_that_its_modules_import_in_any_way(root: Path) -> None:
    found = rooms(root)
    assert found["service.server"].imports == {"service.http", "service.settings"}
    assert found["service.http"].imports == {"service.tasks", "service.settings"}
    assert found["service.tasks"].imports == {"service.settings"}
    assert found["mimi"].imports == {"service.server"}
    assert found["training.run"].imports == {"backbone"}


def test_an_arrow_that_a_longer_way_replaces_is_left_out() -> None:
    assert reduced({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": {"b"}, "b": {"c"}, "c": set()}


def test_arrows_of_a_circle_are_left_out_and_others_stay() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set[str]()}
    assert reduced(graph) == {"a": {"b"}, "b": set(), "c": {"d"}, "d": set()}


def test_every_room_stands_above_what_it_imports_in_rows_of_limited_width() -> None:
    graph = {f"leaf{number}": set[str]() for number in range(12)}
    graph |= {"top": {"middle", "leaf3"}, "middle": set(graph)}
    rows = layered(graph)
    level = {room: number for number, row in enumerate(rows) for room in row}
    assert set(level) == set(graph)
    assert max(map(len, rows)) == BOXES_PER_ROW
    assert all(level[room] > level[other] for room in graph for other in graph[room])


def test_an_arrow_over_several_rows_has_a_place_in_each() -> None:
    plan = planned({"a": {"b", "d"}, "b": {"c"}, "c": set(), "d": set()})
    assert plan.threads == [["a", "b"], ["a", "a>d@1", "d"], ["b", "c"]]
    assert [sorted(row) for row in plan.rows] == [["a"], ["a>d@1", "b"], ["c", "d"]]


def test_a_circle_is_drawn_in_red_and_nothing_else_is(root: Path) -> None:
    assert 'class="circle"' not in drawn(root)
    write(root, "service/settings.py", "import service.http.app")
    assert drawn(root).count('class="circle"') == 3  # settings, http, and tasks between them


def test_the_picture_is_sound_xml_and_the_same_every_time(root: Path) -> None:
    picture = drawn(root)
    assert picture == drawn(root)
    names = {"".join(node.itertext()) for node in ElementTree.fromstring(picture).findall(".//{*}text")}
    assert names >= {"mimi/ 2", "service/", "http/ 2", "server", "settings", "backbone/ 1"}


def test_the_check_tells_a_picture_that_is_out_of_date(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    (root / "docs").mkdir()
    assert main(["--check"]) == 1
    assert "run make draw" in capsys.readouterr().out
    assert main([]) == 0
    assert main(["--check"]) == 0
    write(root, "service/tasks/registry.py", "")
    assert main(["--check"]) == 1

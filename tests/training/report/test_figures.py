"""Figures: what is drawn, what is left out, and that text stays text."""

import subprocess
import sys
from importlib import resources
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from adapters_store import unpack
from tests.training.report.rows import SCRIPT, comparison, earlier, logged, row, written
from training.jsonl import Row
from training.report.comparison import write_comparison
from training.report.curves import curve_chart, read_progress, validation_by_epoch
from training.report.drawing import Chart, drawn, look
from training.report.errors import MissingExtra, UnreadableResult
from training.report.figures import against_cost, against_parameters, against_sigma
from training.report.groups import Section, sections_of
from training.report.results import read_results
from training.report.sites import neurons_by_site, write_allocation

BUNDLED = Path(str(resources.files("adapters_store"))) / "bundled"


def section(folder: Path, rows: list[Row]) -> Section:
    (found,) = sections_of(read_results([written(folder, rows)]))
    return found


def texts(chart: Chart | None) -> list[str]:
    """Every text of the SVG, which must be well-formed."""
    assert chart is not None
    found = ElementTree.fromstring(chart.svg).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(each.itertext()) for each in found]


def test_every_method_is_named_and_drawn(tmp_path: Path) -> None:
    chart = against_parameters(section(tmp_path, comparison()))
    assert {"linear-probe", "lora", "mimi", "vanilla-after-k", "trained parameters, head included"} <= set(texts(chart))
    assert chart.png.startswith(b"\x89PNG")
    assert "one standard deviation" in chart.caption


def test_ticks_are_plain_numbers_where_less_than_a_decade_is_drawn(tmp_path: Path) -> None:
    near = [row("lora", 0, 20_000), row("ssf", 0, 45_000)]
    for chart in (against_parameters(section(tmp_path, near)), against_sigma(section(tmp_path, comparison()))):
        assert not any("$" in text or "times" in text for text in texts(chart))


def test_only_what_has_neurons_is_drawn_against_compression(tmp_path: Path) -> None:
    found = texts(against_sigma(section(tmp_path, comparison())))
    assert {"mimi", "vanilla-after-k"} <= set(found)
    assert "lora" not in found
    assert against_sigma(section(tmp_path, [row("lora", 0, 0)])) is None


def test_cost_is_drawn_alone_where_nothing_is_known_of_sharing(tmp_path: Path) -> None:
    label = "GFLOPs a task, 8 on an image"
    assert label in texts(against_cost(section(tmp_path, comparison())))
    assert label not in texts(against_cost(section(tmp_path, [earlier("vanilla", 0, 0)])))


def test_accuracy_is_validation_where_a_data_set_has_no_test_split(tmp_path: Path) -> None:
    assert "top-1, %" in texts(against_parameters(section(tmp_path, [row("lora", 0, 0, test_top1=None)])))


def test_neurons_are_those_left_after_the_last_cycle(tmp_path: Path) -> None:
    assert "mimi: 8 of 16 neurons left" in texts(neurons_by_site(section(tmp_path, comparison())))
    assert neurons_by_site(section(tmp_path, [row("lora", 0, 0)])) is None


def test_the_neurons_of_task_adapter_files_are_drawn_by_site(tmp_path: Path) -> None:
    files = {task: (BUNDLED / f"{task}.safetensors").read_bytes() for task in ("gtsrb", "cifar10")}
    svg, png = write_allocation(files, tmp_path / "new")
    drawn_texts = texts(Chart("allocation", "", svg.read_text(encoding="utf-8"), b""))
    for task, data in files.items():
        widths = unpack(data).manifest.widths
        live = sum(width > 0 for width in widths)
        assert f"{task}: {sum(widths)} of 552 neurons left, at {live} sites" in drawn_texts
    assert png.read_bytes().startswith(b"\x89PNG")


def test_validation_is_drawn_at_the_rate_that_was_chosen(tmp_path: Path) -> None:
    rows = comparison()
    work = logged(tmp_path / "work", [each for each in rows if each["learning_rate"]])
    logged(work, [row("other", 0, 0), row("lora", 0, 5, learning_rate=0.5)])
    progress = read_progress(work)
    found = section(tmp_path, rows)
    chart = validation_by_epoch(found, progress)
    assert {"lora", "mimi", "vanilla-after-1"} <= set(texts(chart))
    assert "other" not in texts(chart)
    assert progress["aaaaaaaa", "lora", 0, 1e-3] == {1: 0.1, 2: 0.2, 3: 0.1, 4: 0.2}
    assert validation_by_epoch(found, {}) is None


def test_a_method_has_the_same_colour_in_every_figure(tmp_path: Path) -> None:
    rows = comparison()
    found = section(tmp_path, rows)
    work = logged(tmp_path / "work", [each for each in rows if each["method"] == "mimi"])
    curves = validation_by_epoch(found, read_progress(work))
    assert curves is not None
    colour = str(look(2)["color"]).lower()  # of the third series
    assert all(colour in chart.svg for chart in (curves, against_parameters(found)))
    assert str(look(0)["color"]).lower() not in curves.svg


def test_many_curves_are_drawn_apart() -> None:
    chart = curve_chart({f"method {n}": {1: 0.1, 2: 0.2, 3: 0.3} for n in range(9)}, [2], "")
    assert {f"method {n}" for n in range(9)} <= set(texts(chart))


def test_damaged_progress_is_named(tmp_path: Path) -> None:
    (tmp_path / "progress.jsonl").write_text('{"arena": "a"}\n')
    with pytest.raises(UnreadableResult, match="no progress of a comparison"):
        read_progress(tmp_path)


@pytest.mark.parametrize("name", [SCRIPT, "$x^2", "a & b", "-->"])
def test_text_is_neither_markup_nor_a_formula(name: str, tmp_path: Path) -> None:
    chart = against_parameters(section(tmp_path, [row(name, 0, 0)]))
    assert name in texts(chart)
    assert "<script" not in chart.svg


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    found = section(tmp_path, comparison())
    assert against_parameters(found) == against_parameters(found)


def test_colour_and_marker_tell_64_series_apart() -> None:
    assert len({tuple(look(place).values()) for place in range(64)}) == 64


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"matplotlib is not installed; pip install 'mimi-serving\[reports\]'"):
        drawn("x", "", lambda figure: None, size=(1, 1))


def test_nothing_of_the_extra_is_imported_before_something_is_drawn() -> None:
    modules = "training.report.comparison, training.report.run_page, training.report.board, training.compare.runner"
    script = f"import sys, {modules}; sys.exit(bool({{'matplotlib', 'tensorboard'}} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3])


def test_drawing_changes_no_setting_of_the_library() -> None:
    before = dict(mpl.rcParams)
    drawn("x", "", draw_a_line, size=(1, 1))
    assert dict(mpl.rcParams) == before


def draw_a_line(figure: Figure) -> None:
    figure.subplots().plot([1, 2])


def test_a_comparison_is_written_whole(tmp_path: Path) -> None:
    runs = written(tmp_path, [*comparison(), earlier("mimi", 0, 0, widths=[1, 1])])
    out = tmp_path / "out"
    found = write_comparison([runs], out, work=logged(tmp_path / "work", comparison()))
    assert sorted(found) == sorted(out.iterdir())
    assert found[0] == out / "report.html"
    names = {path.name for path in found}
    assert {"tables.md", "tables.csv"} <= names
    assert sum(name.endswith(".svg") for name in names) == sum(name.endswith(".png") for name in names) == 8
    assert (out / "tables.md").read_text().count("## ") == 2 * 3 + 1  # one set has something to pair
    assert found[0].read_text().count("<svg") == 8


def test_a_comparison_without_a_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableResult, match="no rows yet"):
        write_comparison([written(tmp_path, [])], tmp_path / "out")

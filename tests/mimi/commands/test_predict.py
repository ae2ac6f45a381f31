"""`mimi predict`: every kind of input and output, here and on a real server, and runs that are continued."""

import csv
import io
import json
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from adapters_store import bundled, digest
from backbone import load_backbone
from mimi.cli import INTERRUPTED, main
from mimi.demo.server import Server, running_server
from service.engine import Engine, Row, RowResult

Answers = list[dict[str, Any]]


def picture(seed: int) -> bytes:
    """A PNG of noise."""
    buffer = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five images, one of them two folders down, and one file that is none."""
    folder = tmp_path / "photos"
    (folder / "more" / "deep").mkdir(parents=True)
    for number in range(4):
        (folder / f"{number}.png").write_bytes(picture(number))
    (folder / "more" / "deep" / "4.PNG").write_bytes(picture(4))
    (folder / "bad.jpg").write_bytes(b"no image")
    (folder / "notes.txt").write_text("not an image, by its name")
    return folder


def answers(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> Answers:
    assert main(["predict", *words, "--json"]) == status
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def names(found: Answers) -> list[str]:
    return [Path(each["image"]).name for each in found]


def test_one_bad_image_is_a_row_and_the_status_says_so(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answers(capsys, "digits", str(photos), status=1)
    assert names(found) == ["0.png", "1.png", "2.png", "3.png", "bad.jpg", "4.PNG"]
    (bad,) = (each for each in found if each["error"])
    assert "not an image of a supported format" in bad["error"]
    assert bad["label"] is None
    for each in found:
        assert each["sha256"] == sha256(Path(each["image"]).read_bytes()).hexdigest()
        if not each["error"]:
            assert each["label"] == each["predictions"][0]["label"]
            assert len(each["predictions"]) == 5
            assert each["adapter"] == digest(bundled.bundled_tasks()["digits"])
            assert each["gflops_spent"] > 0


def test_answers_are_the_engine_s_own_whatever_the_batch(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = answers(capsys, "digits", f"{photos}/*.png", "--batch", "1", "--kernels", "off")
    all_ = answers(capsys, "digits", f"{photos}/*.png", "--batch", "16", "--kernels", "off")
    assert names(one) == names(all_) == ["0.png", "1.png", "2.png", "3.png"]
    for alone, together in zip(one, all_, strict=True):
        assert alone["label"] == together["label"]
        assert alone["probability"] == pytest.approx(together["probability"], abs=1e-4)


def test_a_table_is_for_people_and_counts_go_to_standard_error(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "digits,digits-parity", str(photos / "0.png"), "none.png"]) == 1
    out, err = capsys.readouterr()
    titles, rule, *rows = out.splitlines()
    assert titles.split() == ["image", "task", "label", "probability", "then"]
    assert set(rule) == {"─"}
    assert [row.split()[1] for row in rows] == ["digits", "digits-parity", "digits", "digits-parity"]
    assert "failed: none.png: No such file or directory" in rows[2]
    assert "\x1b" not in out + err
    assert err.startswith("1 answered, 1 failed; ")


def _listed(photos: Path) -> bytes:
    return "".join(f"{photos}/{number}.png\n" for number in (2, 0)).encode()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (_listed, ["2.png", "0.png"]),
        (lambda photos: _listed(photos).replace(b"\n", b"\0"), ["2.png", "0.png"]),
        (lambda photos: (photos / "1.png").read_bytes(), ["-"]),
    ],
    ids=["lines", "zero bytes", "one image"],
)
def test_standard_input_is_a_list_or_an_image(
    data: Callable[[Path], bytes],
    expected: list[str],
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data(photos))))
    assert names(answers(capsys, "digits", "-")) == expected


def test_a_csv_lists_paths_relative_to_its_folder(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "list.csv").write_text("id,file\n1,0.png\n2,more/deep/4.PNG\n3,gone.png\n")
    found = answers(capsys, "digits", str(photos / "list.csv"), "--path-column", "file", status=1)
    assert names(found) == ["0.png", "4.PNG", "gone.png"]
    assert "gone.png: No such file" in found[2]["error"]
    assert main(["predict", "digits", str(photos / "list.csv")]) == 1
    assert "no column 'path' (--path-column); it has id, file" in capsys.readouterr().err


def test_parquet_holds_images_as_bytes_structs_or_paths(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    structs = [{"bytes": picture(0), "path": None}, {"bytes": None, "path": "1.png"}, {"bytes": None, "path": None}]
    columns = {"image": pa.array(structs, kind), "raw": [picture(2)] * 3, "where": ["3.png"] * 3}
    pq.write_table(pa.table(columns), photos / "t.parquet", row_group_size=2)
    found = answers(capsys, "digits", str(photos / "t.parquet"), status=1)
    assert [each["error"] is None for each in found] == [True, True, False]
    assert found[2]["image"] == f"{photos}/t.parquet:2"
    assert found[0]["sha256"] == sha256(picture(0)).hexdigest()
    raw = answers(capsys, "digits", str(photos / "t.parquet"), "--image-column", "raw")
    assert {each["sha256"] for each in raw} == {sha256(picture(2)).hexdigest()}
    where = answers(capsys, "digits", str(photos / "t.parquet"), "--image-column", "where")
    assert {each["sha256"] for each in where} == {sha256(picture(3)).hexdigest()}


@pytest.mark.parametrize("words", [["digits", "{}/none/*.png"], ["digits", "{}/empty"], ["no-such-task", "{}/0.png"]])
def test_what_can_have_no_answer_at_all_is_refused_before_anything(
    words: list[str], photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "empty").mkdir()
    assert main(["predict", *(word.format(photos) for word in words)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    "words",
    [
        ["--top-k", "0"],
        ["--version", "1"],
        ["--format", "parquet"],
        ["--json", "--format", "csv"],
        ["--output", "answers.unknown"],
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(words: list[str], photos: Path) -> None:
    assert main(["predict", "digits", str(photos / "0.png"), *words]) == 2


def read(path: Path) -> Answers:
    """The answers in a file, whatever its format."""
    if path.suffix == ".parquet":
        rows: Answers = pq.read_table(path).to_pylist()
        return rows
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_second_run_asks_only_what_is_new_changed_or_failed(
    suffix: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"answers{suffix}"
    command = ["predict", "digits", str(photos), "--output", str(out)]
    assert main(command) == 1
    assert capsys.readouterr().out == ""
    first = read(out)
    (photos / "bad.jpg").write_bytes(picture(9))
    (photos / "0.png").write_bytes(picture(8))
    (photos / "new.png").write_bytes(picture(7))
    assert main(command) == 0
    assert "3 answered, 0 failed, 4 answered by an earlier run" in capsys.readouterr().err
    second = read(out)
    assert len(first) == 6
    assert {Path(each["image"]).name for each in second} == {path.name for path in photos.rglob("*.[pPj]*")}
    assert [each for each in first if not each["error"]] == second[:5]
    assert sorted(names(second[5:])) == ["0.png", "bad.jpg", "new.png"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_an_interrupted_run_goes_on_where_it_stopped(
    suffix: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, computed = tmp_path / f"answers{suffix}", list[int]()
    whole = Engine.run

    def interrupted(engine: Engine, rows: list[Row]) -> list[RowResult]:
        if len(computed) == 2:
            raise KeyboardInterrupt
        computed.append(len(rows))
        return whole(engine, rows)

    command = ["predict", "digits", f"{photos}/*.png", "--output", str(out), "--batch", "1"]
    monkeypatch.setattr(Engine, "run", interrupted)
    assert main(command) == INTERRUPTED
    assert "the same command goes on where this run stopped" in capsys.readouterr().err
    monkeypatch.setattr(Engine, "run", whole)
    journal = out if suffix == ".jsonl" else out.with_name(f".{out.name}.journal")
    with journal.open("a") as half:
        half.write('{"image": "cut off by a ki')
    assert main(command) == 0
    assert "2 answered, 0 failed, 2 answered by an earlier run" in capsys.readouterr().err
    assert names(read(out)) == ["0.png", "1.png", "2.png", "3.png"]


def test_another_version_of_the_task_is_asked_again(
    photos: Path, tmp_path: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task, out = tmp_path / "digits.safetensors", tmp_path / "answers.jsonl"
    task.write_bytes(bundled.bundled_tasks()["digits"])
    command = ["predict", str(task), f"{photos}/*.png", "--output", str(out)]
    assert main(command) == 0
    task.write_bytes(trained.read_bytes())
    assert main(command) == 0
    assert "4 answered, 0 failed;" in capsys.readouterr().err
    assert {each["adapter"] for each in read(out)} == {digest(trained.read_bytes())}


@pytest.mark.parametrize(("name", "text"), [("x.csv", "a,b\n1,2\n"), ("x.jsonl", '{"a": 1}\n'), ("x.txt", "a table")])
def test_a_file_that_holds_something_else_is_left_alone(
    name: str, text: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(text)
    assert main(["predict", "digits", str(photos / "0.png"), "--output", str(tmp_path / name)]) == 1
    assert "holds no answers of this command" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == text


def test_a_row_that_fails_alone_does_not_take_its_batch_along(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, preprocessing = Engine.run, load_backbone().preprocessing
    poison = preprocessing.pixels(Image.open(photos / "2.png"))

    def run(engine: Engine, rows: list[Row]) -> list[RowResult]:
        if any(np.array_equal(row.pixels, poison) for row in rows):
            raise MemoryError
        return whole(engine, rows)

    monkeypatch.setattr(Engine, "run", run)
    found = answers(capsys, "digits", f"{photos}/*.png", status=1)
    assert [each["error"] is None for each in found] == [True, True, False, True]
    assert "the engine failed" in found[2]["error"]


def test_a_server_answers_as_this_machine_does(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_server(tmp_path, options=["--precision", "fp32"]) as server:  # by default it measures which is faster
        there = answers(capsys, "digits", str(photos), "--url", server.url, "--concurrency", "3", status=1)
    here = answers(capsys, "digits", str(photos), status=1)
    assert names(here) == names(there)
    for own, other in zip(here, there, strict=True):
        assert (own["sha256"], own["label"]) == (other["sha256"], other["label"])
        if own["error"] is None:
            assert own["adapter"] == other["adapter"]
            assert own["probability"] == pytest.approx(other["probability"], abs=1e-3)
            assert other["version"] == 1
        else:
            assert "415, unsupported_format" in other["error"]


def test_many_tasks_of_a_server_are_asked_in_one_request(
    server: Server, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answers(capsys, "digits,digits-parity", str(photos / "0.png"), "--url", server.url)
    assert [each["task"] for each in found] == ["digits", "digits-parity"]
    every = answers(capsys, "all", str(photos / "0.png"), "--url", server.url)
    assert {each["task"] for each in every} >= set(bundled.bundled_tasks())


def test_a_run_on_a_server_is_continued(
    server: Server, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIMI_URL", server.url)
    command = ["predict", "digits", "--url", server.url, "--output", str(tmp_path / "a.parquet")]
    assert main([*command, str(photos / "0.png"), "--alias", "live"]) == 0
    assert main([*command, str(photos / "0.png"), str(photos / "1.png"), "--version", "1"]) == 0
    assert "1 answered, 0 failed, 1 answered by an earlier run" in capsys.readouterr().err
    assert names(read(tmp_path / "a.parquet")) == ["0.png", "1.png"]


@pytest.mark.parametrize(
    ("task", "url", "step"),
    [
        ("nobody", "{}", "next:  `mimi tasks` lists what the server has"),
        ("digits", "http://127.0.0.1:9", "next:  start a server with `mimi serve`"),
    ],
)
def test_what_would_fail_for_every_image_ends_the_run(
    server: Server, photos: Path, task: str, url: str, step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", task, str(photos), "--url", url.format(server.url)]) == 1
    error, following = capsys.readouterr().err.splitlines()
    assert error.startswith("error: GET /v1/tasks/")
    assert following.startswith(step)


@pytest.mark.parametrize("place", ["/dev/null", "{}", "{}/0.png/below.jsonl"])
def test_what_is_no_plain_file_is_not_written_to(place: str, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["predict", "digits", str(photos / "0.png"), "--format", "jsonl", "--output", place.format(photos)]
    assert main(command) == 1
    assert capsys.readouterr().err.startswith("error: ")

"""The layouts are compared with each other before they are timed, and with the definition here."""

import json
from pathlib import Path

import pytest
import torch

from backbone import adapt, load_backbone
from benchmarks.studies import layouts


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize("tasks", [1, 4, 16])
def test_every_layout_gives_what_the_definition_gives(tasks: int, pruned: bool) -> None:
    for site in layouts.sites_of(load_backbone(), tasks, pruned=pruned)[-3:]:
        each = layouts.ROWS // tasks
        rows = [adapt(h, site.tasks[i // each]) + x for i, (h, x) in enumerate(zip(site.h, site.x, strict=True))]
        for layout in layouts.LAYOUTS.values():
            torch.testing.assert_close(layout(site)(), torch.stack(rows), rtol=1e-4, atol=1e-4)


def test_a_layout_that_gives_something_else_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "LAYOUTS", {**layouts.LAYOUTS, "wrong": lambda site: lambda: site.h})
    with pytest.raises(AssertionError, match="not close"):
        layouts.measure(layouts.sites_of(load_backbone(), 1, pruned=False)[-1:], rounds=6)


def test_the_command_writes_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "CASES", {"four tasks": 4})
    threads = torch.get_num_threads()
    assert layouts.main(["--json", str(tmp_path / "layouts.json"), "--threads", "1", "--rounds", "6"]) == 0
    torch.set_num_threads(threads)
    told = json.loads((tmp_path / "layouts.json").read_text())
    assert told["cases"].keys() == {"full, four tasks", "pruned, four tasks"}
    assert told["cases"]["full, four tasks"]["against_exact"]["exact"]["median"] == 1

"""One door to every benchmark."""

from importlib import import_module

import pytest

from benchmarks.__main__ import BENCHMARKS, main


@pytest.mark.parametrize(("arguments", "status"), [([], 0), (["--help"], 0), (["nothing"], 2)])
def test_without_a_known_name_it_lists_the_benchmarks(
    arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == status
    printed = capsys.readouterr().out
    assert all(name in printed for name in BENCHMARKS)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_listed_benchmark_has_a_main(name: str) -> None:
    assert callable(import_module(f"benchmarks.{name}").main)


def test_the_options_reach_the_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["studies.pruned", "--rounds", "1", "--json", "x"])
    assert "--rounds" in capsys.readouterr().err

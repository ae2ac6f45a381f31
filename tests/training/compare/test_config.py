"""A comparison's TOML file: what it may say, and every way of saying it wrong."""

from pathlib import Path

import pytest

from training.compare.config import Config, parse_config, read_config
from training.errors import BadConfig

GOOD = """
purpose = "study"
cycles = 5
seeds = [0, 1, 2]
rates = [1, 2e-3]
runs = "out/runs.jsonl"
[data.signs]
spec = "gtsrb"
epochs = 5
per_class = 50
flip = false
rotate = 10
[data.digits]
epochs = 3
batch_size = 64
[methods]
linear-probe = {}
mimi = { pruning_fraction = 0.5 }
low = { method = "lora", rates = [1e-4] }
"""


def parsed(old: str = "", new: str = "") -> Config:
    assert old in GOOD
    return parse_config(GOOD.replace(old, new, 1), "file.toml")


def test_everything_that_is_said_is_kept_and_the_rest_has_defaults() -> None:
    config = parsed()
    signs, digits = config.data
    assert (config.purpose, config.cycles, config.seeds, config.rates) == ("study", 5, (0, 1, 2), (1.0, 2e-3))
    assert (config.runs, config.work, config.validation) == (Path("out/runs.jsonl"), Path("var/compare"), 0.1)
    assert (signs.spec, signs.per_class, signs.fit.flip, signs.fit.rotate) == ("gtsrb", 50, False, 10.0)
    assert (digits.spec, digits.fit.batch_size, digits.fit.flip) == ("digits", 64, True)
    assert [(m.label, m.method, m.rates, dict(m.options)) for m in config.methods] == [
        ("linear-probe", "linear-probe", None, {}),
        ("mimi", "mimi", None, {"pruning_fraction": 0.5}),
        ("low", "lora", (1e-4,), {}),
    ]


def test_a_set_says_how_its_classes_are_balanced() -> None:
    signs, digits = parsed("flip = false", 'balance = "weights"\nbalance_power = 0.5').data
    assert (signs.fit.balance, signs.fit.balance_power, digits.fit.balance) == ("weights", 0.5, "none")


def test_rows_go_to_the_results_by_default() -> None:
    assert parsed('runs = "out/runs.jsonl"').runs == Path("docs/results/runs.jsonl")


def test_learning_rates_are_taken_as_given() -> None:
    assert all(data.fit.reference_batch is None for data in parsed().data)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cycles", "cycels", "unknown key 'cycels'; did you mean 'cycles'"),
        ("flip", "flipped", r"\[data.signs\]: unknown key 'flipped'; did you mean 'flip'"),
        ("flip", "colour", r"\[data.signs\]: unknown key 'colour'; known are: .*batch_size"),
        ("flip = false", "learning_rate = 1e-3", "unknown key 'learning_rate'"),
        ("flip = false", 'flip = "no"', r"flip must be true or false, not 'no'"),
        ("per_class = 50", "per_class = true", "per_class must be a whole number"),
        ("per_class = 50", "per_class = -1", "per_class must be at least 0"),
        ("per_class = 50", "reference_batch = 'x'", "reference_batch must be a whole number, not 'x'"),
        ("rotate = 10", "zoom = 1", "zoom must be in"),
        ("epochs = 5", "", "epochs of a cycle missing"),
        ("cycles = 5", "", "cycles missing or empty"),
        ("seeds = [0, 1, 2]", "seeds = []", "seeds missing or empty"),
        ("seeds = [0, 1, 2]", "seeds = 3", "seeds must be an array, not 3"),
        ("seeds = [0, 1, 2]", "seeds = [0, 0.5]", "seeds must be a whole number, not 0.5"),
        ("seeds = [0, 1, 2]", "seeds = [-1]", "seeds must be at least 0, not -1"),
        ("rates = [1, 2e-3]", "rates = []", r"rates must be at least one positive number, not \[\]"),
        ("rates = [1e-4]", "rates = [0]", "rates must be positive"),
        ("rates = [1e-4]", "rates = ['fast']", r"\[methods\] low rates must be a number, not 'fast'"),
        ('purpose = "study"', 'purpose = "fun"', "purpose must be one of runs, study, not 'fun'"),
        ("linear-probe = {}", "linear-probe = 1", "must be a table, not 1"),
        ("linear-probe = {}", '"../up" = {}', "a name has letters"),
        ("[data.digits]", "[data.digits", "file.toml: no TOML: .*line"),
    ],
)
def test_what_is_wrong_is_refused_by_its_place(old: str, new: str, message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        parsed(old, new)


def test_a_file_that_is_not_there_or_is_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"none\.toml: No such file"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadConfig, match=r"bytes\.toml"):
        read_config(tmp_path / "bytes.toml")


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "good.toml").write_text(GOOD)
    assert read_config(tmp_path / "good.toml") == parsed()

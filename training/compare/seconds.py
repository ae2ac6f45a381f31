"""How long a training took, from the lines that its progress file has."""

from pathlib import Path

from training.lines import read_lines

PROGRESS = "progress.jsonl"  # in the folder of a contestant at a seed and a rate


def seconds_until(folder: Path, cycle: int) -> float:
    """Seconds of training up to the end of `cycle`, validation and test apart; 0 where no file was written.

    An epoch that a crash made run twice counts once.
    """
    found = {(line["cycle"], line["epoch"]): line["seconds"] for line in read_lines(folder / PROGRESS)}
    return float(sum(seconds for (of, _), seconds in found.items() if of <= cycle))

"""What a row says of its making. Asked for at the start: the checkout may move on while a comparison runs."""

import platform
import subprocess
from pathlib import Path

import torch

from training.lines import Row


def made_by(device: str) -> Row:
    """The commit, marked where files differ from it, and the kind of device; nothing that names the machine."""
    return {"commit": _commit(), "device": _words(device), "torch": torch.__version__}


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    except OSError:  # no git here
        return ""
    return found.stdout.strip()


def _words(device: str) -> str:
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} thread(s)"

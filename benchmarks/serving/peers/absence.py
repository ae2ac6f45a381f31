"""Which peers are installed, in which version, and why the others are not. Asks each peer's own Python."""

import subprocess
from collections.abc import Mapping

PACKAGES = {"litserve": "litserve", "bentoml": "bentoml", "mlserver": "mlserver", "ray": "ray"}


def missing(pythons: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Versions of the peers that are there; for the others, the reason."""
    there, absent = {}, {}
    for name, python in pythons.items():
        question = f"from importlib.metadata import version; print(version({PACKAGES[name]!r}))"
        try:
            done = subprocess.run([python, "-c", question], capture_output=True, text=True, check=False)
        except OSError as error:
            absent[name] = f"{python}: {error.strerror}"
            continue
        if done.returncode:
            absent[name] = "not installed"
        else:
            there[name] = done.stdout.strip()
    return there, absent

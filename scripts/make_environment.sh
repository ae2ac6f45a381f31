#!/usr/bin/env bash
# Makes the virtual environment and installs the project with its development tools into it.
# Run by make, which skips it while pyproject.toml is unchanged. Knows nothing of stamps.
set -euo pipefail
python=$1 venv=$2

say() { printf '==> %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

command -v "$python" >/dev/null || fail "no $python found: install Python 3.11 or later (PYTHON=path chooses one)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old: Python 3.11 or later is needed (PYTHON=path chooses one)"

if ! "$venv/bin/python" -c '' 2>/dev/null; then
    say "making the virtual environment in $venv"
    "$python" -m venv "$venv" || fail "no virtual environment could be made (on Debian: apt install python3-venv)"
fi
say "installing mimi-serving into $venv (the first time this downloads PyTorch, several gigabytes)"
"$venv/bin/python" -m pip install --disable-pip-version-check --quiet --editable '.[dev]' ||
    fail "the installation failed; run make again to go on where it stopped"
say "installed; this happens again only when pyproject.toml changes"

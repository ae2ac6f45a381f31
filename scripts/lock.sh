#!/usr/bin/env bash
# Writes the versions and hashes that the container image installs, from pyproject.toml: deploy/locks/.
# Needs a network, `uv`, and an environment in which the tests have passed: the image gets what was tested.
#   scripts/lock.sh PYTHON     the Python of that environment
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
locks=deploy/locks work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${1:?the Python of an environment in which the tests have passed}
"$python" -m pip freeze --exclude-editable | grep -E '^[A-Za-z0-9_.-]+==' >"$work/tested.txt"
sed -n 's/^onnxruntime-gpu==/onnxruntime==/p' "$work/tested.txt" >"$work/cpu.in"
command -v uv >/dev/null || { echo 'error: uv is not installed (pip install uv)' >&2; exit 1; }

compile() { # OUTPUT INPUT…: every platform of the image, one Python
    local output=$1
    shift
    uv pip compile "$@" --universal --python-version 3.12 --generate-hashes --no-annotate --no-header \
        --quiet --output-file "$output"
}

# With CUDA: as the package index has it.
compile "$locks/cuda.txt" pyproject.toml --extra heif --constraints "$work/tested.txt"

# For CPUs: ONNX Runtime without CUDA, none of the libraries that PyTorch wants for it, and PyTorch apart. Its wheels for
# CPUs lie in an index of their own, which uv knows by the name `cpu`; their hashes are not those of the wheels above.
sed -nE 's/^((nvidia|cuda)-[a-z0-9-]+|triton|onnxruntime-gpu)==.*/\1/p' "$locks/cuda.txt" | sort -u >"$work/excluded.txt"
compile "$locks/cpu.txt" pyproject.toml "$work/cpu.in" --extra heif --excludes "$work/excluded.txt" \
    --no-emit-package torch --no-emit-package torchvision --constraints "$work/tested.txt"
sed -nE 's/^(torch|torchvision)(==[0-9.]+).*/\1\2/p' "$locks/cuda.txt" | sort -u >"$work/torch.in"
if uv pip compile "$work/torch.in" --torch-backend cpu --no-deps --python-version 3.12 --generate-hashes \
    --no-annotate --no-header --quiet --output-file "$work/torch.txt"; then
    cp "$work/torch.txt" "$locks/torch-cpu.txt"
else
    echo "warning: PyTorch's index of CPU wheels cannot be reached: their versions are locked, and no hashes" >&2
    cp "$work/torch.in" "$locks/torch-cpu.txt"
fi

# What builds the wheel and installs the rest; it stays out of the image.
printf 'hatchling>=1.26\nuv>=0.9\n' >"$work/build.in"
compile "$locks/build.txt" "$work/build.in"

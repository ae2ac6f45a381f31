"""Bodies of bytes in the OpenAPI document, as commands of curl: what no example in JSON can show."""

import re
from collections.abc import Sequence
from typing import Any

_SAMPLES: Sequence[tuple[str, Sequence[str]]] = (  # a pattern of "method path", and what to type
    ("put /v1/tasks/{task}", ["-T digits.safetensors"]),
    ("get .*/file", ["-o digits.safetensors"]),
    ("head .*/file", ["-I"]),
    (".*/predict", ["--data-binary @three.png", "-F image=@three.png -F image=@eight.png -F top_k=1"]),
    (".*/infer", ["-H 'Inference-Header-Content-Length: 0' --data-binary @three.png -o answer.bin"]),
)
_NAMES = {"{task}": "digits", "{version}": "3", "{alias}": "live"}


def samples(method: str, path: str) -> list[dict[str, Any]]:
    """Commands for a route, in the form of the extension `x-codeSamples`; none where JSON says it all."""
    return [
        {"lang": "Shell", "label": "curl", "source": f"curl {options} $URL{_filled(path)}"}
        for pattern, all_options in _SAMPLES
        if re.fullmatch(pattern, f"{method} {path}")
        for options in all_options
    ]


def _filled(path: str) -> str:
    for name, value in _NAMES.items():
        path = path.replace(name, value)
    return path

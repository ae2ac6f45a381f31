"""Warns of what an image is made of and nothing pins to the byte: base images without a digest, wheels without a hash.

    python scripts/check_pins.py [--strict]

A digest can only be looked up where a registry can be reached, and a tag of another day has another digest. So this
warns, and fails only with --strict, which is for a release. Knows nothing of versions: tests judge those.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_BASE = re.compile(r"(?m)^ARG \w*IMAGE=(\S+)|^\s*image: \$?\{?(?:\w+:-)?([\w./-]+:v?\d[\w.-]*(?:@\S+)?)\}?$")
_PIN = re.compile(r"(?m)^([\w.-]+==[^\s\\]+)(?:.*?)(\s*\\\n\s+--hash=|$)")


def loose(root: Path = ROOT) -> Iterator[str]:
    """Everything that is not pinned to the byte, in words."""
    for name in ("Dockerfile", "docker-compose.yml"):
        for found in _BASE.finditer((root / name).read_text(encoding="utf-8")):
            image = found[1] or found[2]
            if "@sha256:" not in image:
                yield f"{name}: {image} has no digest (docker buildx imagetools inspect {image})"
    for lock in sorted((root / "deploy/locks").glob("*.txt")):
        for pin, rest in _PIN.findall(lock.read_text(encoding="utf-8")):
            if "--hash=" not in rest:
                yield f"deploy/locks/{lock.name}: {pin} has no hash (make lock, where its index can be reached)"


def main(arguments: Sequence[str]) -> int:
    """Print warnings; 1 if there are any and --strict is given."""
    warnings = list(loose())
    for warning in warnings:
        print(f"warning: {warning}")
    return int(bool(warnings) and "--strict" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

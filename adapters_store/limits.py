"""What a task adapter file may cost its reader. Every figure is an argument; nothing here reads a file."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactLimits:
    """Upper bounds, each inclusive: a file exactly at the limit is read."""

    file_bytes: int = 32 * MIB
    header_bytes: int = 256 * 1024
    tensors: int = 1024
    json_depth: int = 20
    golden_side: int = 96  # pixels
    label_length: int = 256  # characters


DEFAULT_LIMITS = ArtifactLimits()

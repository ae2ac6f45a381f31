"""Limits of a task adapter file, for its reader. Every figure is an argument; nothing here reads a file."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactLimits:
    """Upper bounds, each inclusive: a file exactly at the limit is read."""

    file_bytes: int = 32 * MIB
    header_bytes: int = 256 * 1024  # of every file
    long_header_bytes: int = 2 * MIB  # of a file whose tensors are longer still: labels grow with the classes of a head
    tensors: int = 1024
    json_depth: int = 20
    golden_side: int = 96  # pixels
    label_length: int = 256  # characters

    def header_cap(self, file_bytes: int) -> int:
        """The longest header of a file of `file_bytes`: a long one may take up to half of the file."""
        return max(self.header_bytes, min(file_bytes // 2, self.long_header_bytes))


DEFAULT_LIMITS = ArtifactLimits()

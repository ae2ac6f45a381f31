"""Matrices in 1 to 8 bits a weight: how a file of low bits stores the adapters and the head of a task.

Each row has a scale, and each weight a code c from 0 to L = 2^bits - 1. A weight is scale * (2c - L) / L, so the
levels lie evenly between -scale and scale, and none of them is 0. One bit is a sign.

Rows are in one order: of each live site the rows of W_down and then those of W_up transposed, and then the head's.
Each row begins with a new byte, and its first code is in the highest bits.

Encoding is canonical. A row of nothing has scale 0 and codes 0. Every other row has a weight at one of its ends. So
decoded rows are encoded to the same bytes again, and a file that is not canonical is refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters_store import errors

MOST_BITS = 8
MOST_CHANNELS = 65_536
_SMALLEST = float(np.finfo(np.float16).smallest_normal)  # a smaller scale would lose its own digits
_LARGEST = float(np.finfo(np.float16).max)
_FACTORS = np.linspace(1.0, 0.1, 46)  # of the largest weight: scales to choose the best from
_CHUNK = 64  # rows for which all scales are tried together

Array = NDArray[np.floating[Any]]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LowBit:
    """The manifest's record of low bits. The tensors alone do not say how long a row is."""

    bits: int
    channels: tuple[int, ...]  # M of every site, removed ones too
    features: int  # F


class Codes(NamedTuple):
    """Rows as a file stores them, one behind the other."""

    codes: NDArray[np.uint8]  # (bytes,)
    scales: NDArray[np.float16]  # (rows,)


def check_low_bit(low_bit: LowBit, widths: Sequence[int], classes: int, most: int) -> None:
    """Check the record by itself, before anything is decoded.

    Raises:
        InvalidField: a figure is out of its range.
        FileTooLarge: the decoded weights would have more than `most` bytes.
    """
    if not 1 <= low_bit.bits <= MOST_BITS:
        raise errors.InvalidField(f"manifest.low_bit.bits: {low_bit.bits} is not from 1 to {MOST_BITS}")
    if len(low_bit.channels) != len(widths):
        raise errors.InvalidField(f"manifest.low_bit.channels: {len(low_bit.channels)} for {len(widths)} sites")
    if not all(1 <= size <= MOST_CHANNELS for size in (*low_bit.channels, low_bit.features)):
        raise errors.InvalidField(f"manifest.low_bit: channels and features are from 1 to {MOST_CHANNELS}")
    weights = sum(rows * length for rows, length in _blocks(low_bit, widths, classes))
    if 4 * weights > most:
        raise errors.FileTooLarge(f"{4 * weights} bytes of decoded weights, at most {most} are read")


def encoded(low_bit: LowBit, matrices: Sequence[Array]) -> Codes:
    """Rows of matrices in the file's order, see the module; each is (rows, length)."""
    parts = [encode(matrix, low_bit.bits) for matrix in matrices]
    codes, scales = zip(*parts, strict=True)
    return Codes(np.concatenate([each.ravel() for each in codes]), np.concatenate(scales))


def decoded(low_bit: LowBit, widths: Sequence[int], classes: int, stored: Codes) -> list[Floats]:
    """The matrices (rows, length) in the file's order, float32 and read-only.

    Raises:
        WrongShape: there are more codes or scales than the manifest implies, or fewer.
        NonFiniteValue, NotCanonical: a scale or a row is not what `encode` writes.
    """
    blocks = list(_blocks(low_bit, widths, classes))
    size = sum(rows * row_bytes(length, low_bit.bits) for rows, length in blocks)
    count = sum(rows for rows, _ in blocks)
    if stored.codes.shape != (size,) or stored.scales.shape != (count,):
        found = f"{stored.codes.shape} codes and {stored.scales.shape} scales"
        raise errors.WrongShape(f"{found}, the manifest implies ({size},) and ({count},)")
    if not np.isfinite(stored.scales).all():
        raise errors.NonFiniteValue("a scale is NaN or infinity")
    matrices, at, row = [], 0, 0
    for rows, length in blocks:
        end = at + rows * row_bytes(length, low_bit.bits)
        codes = stored.codes[at:end].reshape(rows, -1)
        matrices.append(decode(codes, stored.scales[row : row + rows], length, low_bit.bits))
        at, row = end, row + rows
    return matrices


def encode(matrix: Array, bits: int) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Codes (rows, bytes of a row) and scales (rows,) of a matrix (rows, length).

    The scale of a row is the one of least squared error among shares of its largest weight.

    Raises:
        NonFiniteValue: a weight is not finite, or beyond float16.
    """
    exact = np.asarray(matrix, np.float64)
    if not (np.abs(exact) <= _LARGEST).all():  # not `>`: NaN must fail
        raise errors.NonFiniteValue("a weight is NaN or infinity, or beyond float16")
    parts = [exact[at : at + _CHUNK] for at in range(0, len(exact), _CHUNK)]
    scales = np.concatenate([_scales(part, bits) for part in parts])
    codes = _nearest(exact, scales.astype(np.float64)[:, None], 2**bits - 1).astype(np.uint8)
    each = np.unpackbits(codes[..., None], axis=-1)[..., MOST_BITS - bits :]
    return np.packbits(each.reshape(len(exact), -1), axis=1), scales


def decode(codes: NDArray[np.uint8], scales: NDArray[np.float16], length: int, bits: int) -> Floats:
    """The matrix (rows, length) of codes (rows, bytes of a row) and finite scales (rows,), float32 and read-only.

    Raises:
        NotCanonical: `encode` does not write such a row.
    """
    every = np.unpackbits(codes, axis=1)
    own = every[:, : length * bits].reshape(len(codes), length, bits)
    numbers = np.packbits(np.pad(own, ((0, 0), (0, 0), (MOST_BITS - bits, 0))), axis=-1)[..., 0]
    _check_canonical(numbers, scales, every[:, length * bits :], 2**bits - 1)
    matrix = scales.astype(np.float32)[:, None] * _levels(bits)[numbers]
    matrix.setflags(write=False)
    return matrix


def rounded(matrix: Array, bits: int) -> Floats:
    """The matrix as a file of low bits gives it back."""
    codes, scales = encode(matrix, bits)
    return decode(codes, scales, matrix.shape[1], bits)


def halved(array: Array) -> Floats:
    """The array as a file of low bits gives back those that stay in float16."""
    return array.astype(np.float16).astype(np.float32)


def row_bytes(length: int, bits: int) -> int:
    """Bytes of a row of codes."""
    return -(-length * bits // 8)


def _blocks(low_bit: LowBit, widths: Sequence[int], classes: int) -> Iterator[tuple[int, int]]:
    """Rows of every matrix and their length, in the file's order."""
    for width, size in zip(widths, low_bit.channels, strict=True):
        if width:
            yield width, size
            yield width, size
    yield classes, low_bit.features


def _levels(bits: int) -> Floats:
    """The weight of each code, in units of the scale."""
    highest = 2**bits - 1
    levels: Floats = ((2 * np.arange(highest + 1) - highest) / highest).astype(np.float32)
    return levels


def _scales(rows: NDArray[np.float64], bits: int) -> NDArray[np.float16]:
    """The scale (n,) of each row (n, length)."""
    largest = np.abs(rows).max(axis=1)
    tried = (largest[:, None] * _FACTORS).astype(np.float16)  # (n, scales)
    tried[:, 1:] = np.where(tried[:, 1:] < _SMALLEST, tried[:, :1], tried[:, 1:])
    tried[largest < _SMALLEST] = 0
    highest, exact = 2**bits - 1, tried.astype(np.float64)
    lost = np.empty(exact.shape)
    for place in range(exact.shape[1]):
        scale = exact[:, place, None]
        found = scale * (2 * _nearest(rows, scale, highest) - highest) / highest
        lost[:, place] = ((rows - found) ** 2).sum(axis=1)
    best: NDArray[np.float16] = tried[np.arange(len(rows)), lost.argmin(axis=1)]
    return best


def _nearest(rows: NDArray[np.float64], scales: NDArray[np.float64], highest: int) -> NDArray[np.float64]:
    """The code of the level that is nearest to each weight; 0 where the scale is."""
    with np.errstate(invalid="ignore"):
        share = np.divide(rows, scales, out=np.full(rows.shape, -1.0), where=scales != 0)
        nearest: NDArray[np.float64] = np.clip(np.rint((share + 1) * highest / 2), 0, highest)
    return nearest


def _check_canonical(
    numbers: NDArray[np.uint8], scales: NDArray[np.float16], padding: NDArray[np.uint8], highest: int
) -> None:
    if padding.any():
        raise errors.NotCanonical("bits behind the last code of a row are not 0")
    empty = scales == 0
    if (~empty & (scales < _SMALLEST)).any() or np.signbit(scales).any():
        raise errors.NotCanonical("a scale is neither 0 nor a normal positive number")
    if numbers[empty].any():
        raise errors.NotCanonical("a row of scale 0 has a code other than 0")
    ends = ((numbers == 0) | (numbers == highest)).any(axis=1)
    if not (ends | empty).all():
        raise errors.NotCanonical("no weight of a row is as large as its scale")


def in_order(sites: Mapping[int, tuple[Array, Array]], head: Array) -> list[Array]:
    """The matrices of a task in the file's order, from (W_down, W_up) by site and the head's weight."""
    pairs = [sites[site] for site in sorted(sites)]
    return [*(matrix for down, up in pairs for matrix in (down, up.T)), head]

"""Files of low bits: a round trip is exact, and what a writer would not write is refused for its own reason."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters_store import ArtifactError, ArtifactLimits, LowBit, TaskAdapter, as_stored, errors, pack, unpack
from adapters_store.low_bit import decode, encode, rounded, row_bytes
from tests.adapters_store import test_answers, test_statistics
from tests.adapters_store.adapters import FEATURES, INPUT_SIZE, make_adapter, make_manifest
from tests.adapters_store.raw import GOOD_FILE, Header, raw_file, split_file, with_header, with_manifest

BITS = range(1, 9)


def low_bit_adapter(bits: int = 3, widths: tuple[int, ...] = (2, 0, 1)) -> TaskAdapter:
    manifest = make_manifest(widths)
    low_bit = LowBit(bits, (INPUT_SIZE,) * len(widths), FEATURES)
    return make_adapter(replace(manifest, low_bit=low_bit))


FILE = pack(low_bit_adapter())


@pytest.mark.parametrize("bits", BITS)
def test_packing_what_was_unpacked_gives_the_same_bytes(bits: int) -> None:
    data = pack(low_bit_adapter(bits))
    again = unpack(data)
    assert pack(again) == data
    assert again.manifest.format_version == 4
    assert again.manifest.low_bit == LowBit(bits, (INPUT_SIZE,) * 3, FEATURES)


@pytest.mark.parametrize("bits", BITS)
def test_a_file_gives_back_the_weights_that_are_promised(bits: int) -> None:
    adapter = low_bit_adapter(bits)
    promised, found = as_stored(adapter), unpack(pack(adapter))
    assert found.sites.keys() == promised.sites.keys() == {0, 2}
    for site, pair in promised.sites.items():
        np.testing.assert_array_equal(found.sites[site].down, pair.down)
        np.testing.assert_array_equal(found.sites[site].up, pair.up)
    np.testing.assert_array_equal(found.head_weight, promised.head_weight)
    np.testing.assert_array_equal(found.head_bias, promised.head_bias)
    assert {array.dtype for array in (found.head_weight, found.head_bias, *found.sites[0])} == {np.dtype(np.float32)}


def test_more_bits_lose_less() -> None:
    matrix = np.random.default_rng(0).standard_normal((8, 200))
    lost = [float(np.square(rounded(matrix, bits) - matrix).sum()) for bits in BITS]
    assert lost == sorted(lost, reverse=True)
    assert lost[7] < 2e-4 * lost[0]


def test_one_bit_is_a_sign_and_a_scale_for_each_row() -> None:
    matrix = np.array([[0.5, -0.5, 0.5], [-3.0, -3.0, 3.0]], np.float32)
    codes, scales = encode(matrix, 1)
    assert codes.tolist() == [[0b10100000], [0b00100000]]
    assert scales.tolist() == [0.5, 3.0]
    np.testing.assert_array_equal(decode(codes, scales, 3, 1), matrix)


def test_codes_stand_in_the_order_of_the_documents() -> None:
    codes, _ = encode(np.array([[-1.0, 1.0, -1 / 7, 1 / 7, 5 / 7]]), 3)
    assert np.unpackbits(codes).tolist() == [0, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 1, 1, 0, 0]


ROWS = st.integers(1, 4).flatmap(
    lambda length: st.lists(
        st.lists(st.floats(-60000, 60000, width=32), min_size=length, max_size=length), min_size=1, max_size=4
    )
)


@settings(max_examples=300)
@given(ROWS, st.sampled_from(BITS))
def test_encoding_what_was_decoded_gives_the_same_codes(rows: list[list[float]], bits: int) -> None:
    matrix = np.array(rows, np.float32)
    codes, scales = encode(matrix, bits)
    assert codes.shape == (len(matrix), row_bytes(matrix.shape[1], bits))
    again = encode(decode(codes, scales, matrix.shape[1], bits), bits)
    np.testing.assert_array_equal(again[0], codes)
    np.testing.assert_array_equal(again[1], scales)


@pytest.mark.parametrize("value", [np.nan, np.inf, 70000.0])
def test_weights_without_a_scale_in_float16_are_not_written(value: float) -> None:
    with pytest.raises(errors.NonFiniteValue):
        encode(np.array([[1.0, value]]), 4)


def test_a_row_of_nothing_stays_nothing() -> None:
    codes, scales = encode(np.array([[0.0, 1e-6]]), 4)
    assert (codes.tolist(), scales.tolist()) == ([[0]], [0.0])
    assert decode(codes, scales, 2, 4).tolist() == [[0.0, 0.0]]


def test_what_is_known_and_statistics_stand_in_files_of_low_bits() -> None:
    for adapter in (test_answers.adapter(), test_statistics.adapter()):
        features = adapter.head_weight.shape[1]
        manifest = replace(adapter.manifest, low_bit=LowBit(5, (INPUT_SIZE,) * len(adapter.manifest.widths), features))
        data = pack(replace(adapter, manifest=manifest))
        found = unpack(data)
        assert pack(found) == data
        assert found.manifest.format_version == 4
        assert (found.known is None) == (adapter.known is None)
        assert (found.statistics is None) == (adapter.statistics is None)


def changed(low_bit: Header) -> bytes:
    """The file with other figures in its record."""
    return with_manifest(lambda manifest: manifest["low_bit"].update(low_bit), FILE)


RECORDS: dict[str, tuple[type[ArtifactError], bytes]] = {
    "no bits": (errors.InvalidField, changed({"bits": 0})),
    "nine bits": (errors.InvalidField, changed({"bits": 9})),
    "half a bit": (errors.InvalidField, changed({"bits": 0.5})),
    "a site too few": (errors.InvalidField, changed({"channels": [8, 8]})),
    "a site of no channels": (errors.InvalidField, changed({"channels": [8, 0, 8]})),
    "no features": (errors.InvalidField, changed({"features": 0})),
    "channels beyond any network": (errors.InvalidField, changed({"channels": [8, 8, 2**62]})),
    "features beyond any network": (errors.InvalidField, changed({"features": 2**62})),
    "another number of bits": (errors.WrongShape, changed({"bits": 4})),
    "longer rows": (errors.WrongShape, changed({"channels": [16, 8, 8]})),
    "more features": (errors.WrongShape, changed({"features": 60})),
    "rows of as many bytes": (errors.InconsistentProvenance, changed({"features": 7})),
    "an unknown field": (errors.UnknownField, changed({"dither": 1})),
    "no record in version 4": (errors.MissingField, with_manifest(lambda m: m.pop("low_bit"), FILE)),
    "null": (errors.InvalidField, with_manifest(lambda m: m.update(low_bit=None), FILE)),
    "a record in version 1": (errors.UnknownField, with_manifest(lambda m: m.update(format_version=1), FILE)),
    "a record in version 3": (errors.UnknownField, with_manifest(lambda m: m.update(format_version=3), FILE)),
    "a record beside plain weights": (
        errors.MissingTensor,
        with_manifest(
            lambda m: m.update(format_version=4, low_bit={"bits": 2, "channels": [8, 8, 8], "features": 6}), GOOD_FILE
        ),
    ),
}


@pytest.mark.parametrize(("error", "data"), RECORDS.values(), ids=RECORDS.keys())
def test_a_record_that_does_not_fit_is_refused(error: type[ArtifactError], data: bytes) -> None:
    with pytest.raises(errors.ArtifactError) as caught:
        unpack(data)
    assert caught.type is error


@pytest.mark.parametrize(("widths", "channels"), [((1, 0, 0), 65_536), ((65_536, 0, 0), 64)])
def test_a_small_file_cannot_ask_for_much_memory(widths: tuple[int, ...], channels: int) -> None:
    def ask(manifest: dict[str, Any]) -> None:
        manifest["low_bit"] |= {"channels": [channels] * 3, "bits": 1}
        manifest["widths"] = list(widths)
        manifest["provenance"]["initial_widths"] = list(widths)

    rows = 4 * (2 * widths[0] * channels + 2 * FEATURES)
    limits = ArtifactLimits(file_bytes=rows - 1)
    with pytest.raises(errors.FileTooLarge):
        unpack(with_manifest(ask, FILE), limits=limits)


def spoiled(name: str, change: Callable[[bytearray], object]) -> bytes:
    """The file with other bytes in one tensor."""
    header, body = split_file(FILE)
    begin, end = header[name]["data_offsets"]
    part = bytearray(body[begin:end])
    change(part)
    return raw_file(header, body[:begin] + bytes(part) + body[end:])


def scale(row: int, value: float) -> Callable[[bytearray], object]:
    return lambda part: part.__setitem__(slice(2 * row, 2 * row + 2), np.float16(value).tobytes())


# Rows of the file: two of W_down and two of W_up at site 0, one of each at site 2, two of the head.
SPOILED: dict[str, tuple[type[ArtifactError], bytes]] = {
    "a negative scale": (errors.NotCanonical, spoiled("low_bit.scales", scale(0, -1.0))),
    "minus zero": (errors.NotCanonical, spoiled("low_bit.scales", scale(0, -0.0))),
    "a subnormal scale": (errors.NotCanonical, spoiled("low_bit.scales", scale(5, 3e-6))),
    "codes under scale 0": (errors.NotCanonical, spoiled("low_bit.scales", scale(1, 0.0))),
    "NaN": (errors.NonFiniteValue, spoiled("low_bit.scales", scale(7, float("nan")))),
    "infinity": (errors.NonFiniteValue, spoiled("low_bit.scales", scale(7, float("inf")))),
    "bits behind a row": (errors.NotCanonical, spoiled("low_bit.codes", lambda part: part.__setitem__(-1, 0xFF))),
    "no weight at an end": (
        errors.NotCanonical,
        spoiled("low_bit.codes", lambda part: part.__setitem__(slice(0, 3), bytes([0b01101101, 0xB6, 0xDB]))),
    ),
}


@pytest.mark.parametrize(("error", "data"), SPOILED.values(), ids=SPOILED.keys())
def test_codes_that_no_writer_writes_are_refused(error: type[ArtifactError], data: bytes) -> None:
    with pytest.raises(errors.ArtifactError) as caught:
        unpack(data)
    assert caught.type is error


def test_tensors_of_other_names_and_types_are_refused() -> None:
    with pytest.raises(errors.MissingTensor):
        unpack(with_header(lambda header: header.update(spare=header.pop("low_bit.scales")), FILE))
    with pytest.raises(errors.UnexpectedTensor):
        unpack(with_header(lambda header: header.update({"sites.0.down": _empty(header)}), FILE + bytes(1)))
    with pytest.raises(errors.WrongDtype):
        unpack(with_header(lambda header: header["low_bit.scales"].update(dtype="U8", shape=[16]), FILE))


def _empty(header: Header) -> Header:
    end = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    return {"dtype": "U8", "shape": [1], "data_offsets": [end, end + 1]}


@settings(max_examples=300)
@given(st.integers(0, len(FILE) - 1), st.binary(min_size=1, max_size=4))
def test_a_damaged_file_is_refused_or_packs_to_itself(at: int, piece: bytes) -> None:
    data = bytearray(FILE)
    data[at : at + len(piece)] = piece
    try:
        adapter = unpack(bytes(data))
    except ArtifactError:
        return
    found = unpack(pack(adapter))
    assert found.manifest == adapter.manifest
    np.testing.assert_array_equal(found.head_weight, adapter.head_weight)


def test_the_record_is_part_of_the_manifest_text() -> None:
    text = split_file(FILE)[0]["__metadata__"]["manifest"]
    assert json.loads(text)["low_bit"] == {"bits": 3, "channels": [8, 8, 8], "features": 6}

"""The keys file: read in both forms, refused by place, and silent about what it holds."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.keyring import MOST_BYTES, MOST_KEYS, parse_keys
from service.access.keys import KeyLimits, NamedKey, Scope, digest_of
from service.errors import SettingsError
from tests.service.hostile import quick

SECRET = "a-secret-of-some-length"
HASH = digest_of(SECRET).hex()
DEFAULTS = KeyLimits(rate=9, concurrency=3)

TOML = f"""
[[keys]]
name = "ci"
kind = "manage"
sha256 = "{HASH}"

[[keys]]
name = "app.v2"
kind = "predict"
key = "{SECRET}-2"
rate = 0.5
burst = 4
concurrency = 0
"""
WANTED = [
    NamedKey("ci", Scope.MANAGE, digest_of(SECRET), DEFAULTS),
    NamedKey("app.v2", Scope.PREDICT, digest_of(f"{SECRET}-2"), KeyLimits(0.5, 4, 0)),
]


def toml(text: str) -> list[NamedKey]:
    return parse_keys(text.encode(), is_json=False, limits=DEFAULTS)


def entry(**changes: object) -> bytes:
    """A file in JSON with one entry."""
    found = {"name": "ci", "kind": "manage", "sha256": HASH, **changes}
    return json.dumps({"keys": [{name: value for name, value in found.items() if value is not None}]}).encode()


@pytest.mark.parametrize("is_json", [True, False])
def test_a_byte_order_mark_does_not_matter(is_json: bool) -> None:
    data = entry() if is_json else TOML.encode()
    found = parse_keys(b"\xef\xbb\xbf" + data, is_json=is_json, limits=DEFAULTS)
    assert found == parse_keys(data, is_json=is_json, limits=DEFAULTS)


def test_both_forms_say_the_same() -> None:
    assert toml(TOML) == WANTED
    entries = [
        {"name": "ci", "kind": "manage", "sha256": HASH},
        {"name": "app.v2", "kind": "predict", "key": f"{SECRET}-2", "rate": 0.5, "burst": 4, "concurrency": 0},
    ]
    assert parse_keys(json.dumps({"keys": entries}).encode(), is_json=True, limits=DEFAULTS) == WANTED


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (entry(name="CI"), "keys.0.name"),
        (entry(name=None), "keys.0.name"),
        (entry(kind="admin"), "keys.0.kind"),
        (entry(sha256=HASH[:-1]), "keys.0.sha256"),
        (entry(sha256=HASH.upper()), "keys.0.sha256"),
        (entry(sha256=SECRET), "keys.0.sha256"),
        (entry(sha256=None), "either sha256 or key"),
        (entry(key=SECRET), "either sha256 or key"),
        (entry(sha256=None, key="too-short"), "keys.0.key"),
        (entry(sha256=None, key=f"{SECRET} ключ"), "visible ASCII"),
        (entry(rate=-1), "keys.0.rate"),
        (entry(rate="9"), "keys.0.rate"),
        (entry(burst=True), "keys.0.burst"),
        (entry(concurrency=1.5), "keys.0.concurrency"),
        (entry(**{SECRET: 1}), "keys.0: Extra inputs"),
        (b'{"keys": []}', "keys: "),
        (b"{}", "keys: "),
        (b'{"keys": [], "keys": []}', "not JSON"),
        (b'{"keys": ' + b"[" * 100_000, "not JSON"),
        (f'{{"{SECRET}'.encode(), "not JSON"),
        (b"\xff", "not JSON"),
        (b"{" + b" " * MOST_BYTES + b"}", "at most"),
        (json.dumps({"keys": [{}] * (MOST_KEYS + 1)}).encode(), "keys: "),
    ],
)
def test_what_is_wrong_is_told_by_its_place_and_nothing_of_it_is_shown(data: bytes, place: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_keys(data, is_json=True, limits=DEFAULTS)
    assert place in str(refused.value)
    assert not any(word in str(refused.value) for word in (SECRET, HASH[:-1], "too-short", "ключ"))


@pytest.mark.parametrize("text", [f"{SECRET} = ", f'key = "{SECRET}', "[[keys]", "keys = " + "[" * 50_000])
def test_what_is_no_toml_is_refused_without_its_words(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        toml(text)
    assert str(refused.value) == "not TOML in UTF-8"


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
NAMES = st.sampled_from(["keys", "name", "kind", "sha256", "key", "rate", "burst", "concurrency", "x"])
DOCUMENTS = st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner))


@quick
@given(st.binary() | DOCUMENTS.map(lambda document: json.dumps({"keys": document}).encode()), st.booleans())
def test_no_file_does_more_than_be_refused(data: bytes, is_json: bool) -> None:
    with suppress(SettingsError):
        assert all(len(key.digest) == 32 for key in parse_keys(data, is_json=is_json, limits=DEFAULTS))

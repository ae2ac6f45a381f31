"""Named keys of three kinds: each opens what it should, and no other opens anything."""

import pytest

from service.access.keys import KeyLimits, Keys, NamedKey, Scope, digest_of
from service.errors import Forbidden, SettingsError, Unauthorized

PREDICT, MANAGE, METRICS, OLD = (
    "predict-key-0123456",
    "manage-key-01234567",
    "metrics-key-0123456",
    "predict-key-old-0123",
)


@pytest.fixture
def keys() -> Keys:
    return Keys(
        [
            NamedKey("app", Scope.PREDICT, digest_of(PREDICT)),
            NamedKey("app-old", Scope.PREDICT, digest_of(OLD)),
            NamedKey("ci", Scope.MANAGE, digest_of(MANAGE)),
            NamedKey("prometheus", Scope.METRICS, digest_of(METRICS)),
        ]
    )


@pytest.mark.parametrize(
    ("key", "scope", "name"),
    [
        (PREDICT, Scope.PREDICT, "app"),
        (OLD, Scope.PREDICT, "app-old"),
        (MANAGE, Scope.PREDICT, "ci"),
        (MANAGE, Scope.MANAGE, "ci"),
        (MANAGE, Scope.METRICS, "ci"),
        (METRICS, Scope.METRICS, "prometheus"),
    ],
)
def test_each_key_opens_what_it_should(keys: Keys, key: str, scope: Scope, name: str) -> None:
    assert keys.check(key, scope).name == name


@pytest.mark.parametrize(
    ("key", "scope"),
    [
        (PREDICT, Scope.MANAGE),
        (PREDICT, Scope.METRICS),
        (METRICS, Scope.PREDICT),
        (METRICS, Scope.MANAGE),
    ],
)
def test_a_key_of_another_kind_does_not(keys: Keys, key: str, scope: Scope) -> None:
    with pytest.raises(Forbidden):
        keys.check(key, scope)


@pytest.mark.parametrize("key", [None, "", "x", PREDICT[:-1], PREDICT + " ", "\udcff", "ключ"])
def test_any_other_key_opens_nothing(keys: Keys, key: str | None) -> None:
    for scope in Scope:
        with pytest.raises(Unauthorized):
            keys.check(key, scope)


def test_every_key_is_compared_whatever_was_found(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append(b)
        return a == b

    monkeypatch.setattr("service.access.keys.hmac.compare_digest", compare)
    for key in (PREDICT, METRICS):
        keys.check(key, Scope.METRICS if key == METRICS else Scope.PREDICT)
    assert compared == [key.digest for key in keys] * 2


def test_keys_and_names_are_there_once() -> None:
    key = NamedKey("a", Scope.PREDICT, digest_of(PREDICT))
    with pytest.raises(SettingsError, match="same name"):
        Keys([key, NamedKey("a", Scope.MANAGE, digest_of(MANAGE))])
    with pytest.raises(SettingsError, match="are the same"):
        Keys([key, NamedKey("b", Scope.MANAGE, digest_of(PREDICT))])


def test_a_key_does_not_show() -> None:
    shown = repr(NamedKey("a", Scope.PREDICT, digest_of(PREDICT), KeyLimits(rate=1)))
    assert PREDICT not in shown
    assert digest_of(PREDICT).hex() not in shown
    assert repr(digest_of(PREDICT)) not in shown

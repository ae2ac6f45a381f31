"""Two keys: one predicts, one also manages."""

import pytest

from service.access import Keys, Scope, keys_of
from service.errors import Forbidden, Unauthorized
from service.settings import Settings

PREDICT, MANAGE = "predict-key-0123456", "manage-key-01234567"


@pytest.fixture
def keys() -> Keys:
    found = keys_of(Settings.model_validate({"predict_key": PREDICT, "manage_key": MANAGE}))
    assert found is not None
    return found


def test_without_keys_there_is_nothing_to_check() -> None:
    assert keys_of(Settings()) is None


def test_each_key_opens_what_it_should(keys: Keys) -> None:
    keys.check(PREDICT, Scope.PREDICT)
    keys.check(MANAGE, Scope.PREDICT)
    keys.check(MANAGE, Scope.MANAGE)


def test_the_predict_key_does_not_manage(keys: Keys) -> None:
    with pytest.raises(Forbidden):
        keys.check(PREDICT, Scope.MANAGE)


@pytest.mark.parametrize("key", [None, "", "x", PREDICT[:-1], PREDICT + " ", "\udcff", "ключ"])
def test_any_other_key_opens_nothing(keys: Keys, key: str | None) -> None:
    with pytest.raises(Unauthorized):
        keys.check(key, Scope.PREDICT)

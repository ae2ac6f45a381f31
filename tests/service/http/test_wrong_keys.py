"""Wrong keys are logged once and refused early if there are many; right ones are not affected."""

import logging
from collections.abc import Iterator

import pytest

from service.access.keyring import Keyring
from service.access.wrong_keys import BURST, WrongKeys
from service.errors import TooManyWrongKeys
from service.settings import Settings
from tests.service.adapters import Made
from tests.service.live import Live, serving

KEYS = {"predict_key": "wrong-keys-predict-1", "manage_key": "wrong-keys-manage-01"}


class Clock:
    """Monotonic seconds that pass when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def asking(key: str | None = None, address: str = "192.0.2.1") -> tuple[str, str | None]:
    return address, key


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def wrong(clock: Clock) -> WrongKeys:
    """Throttles to one wrong key in two seconds; the address of `asking` has used up what it may."""
    throttle = WrongKeys(Keyring(Settings.model_validate(KEYS)), 0.5, clock)
    for _ in range(BURST):
        throttle.check(*asking("no such key"))
        throttle.note(*asking("no such key"))
    return throttle


def test_a_wrong_key_too_many_is_refused_and_a_right_one_or_none_is_not(wrong: WrongKeys) -> None:
    with pytest.raises(TooManyWrongKeys):
        wrong.check(*asking("another wrong key"))
    wrong.check(*asking(KEYS["predict_key"]))
    wrong.check(*asking())
    wrong.check(*asking("no such key", address="192.0.2.2"))


def test_one_more_is_let_through_when_its_time_has_come(wrong: WrongKeys, clock: Clock) -> None:
    clock.now += 2
    wrong.check(*asking("no such key"))
    wrong.note(*asking("no such key"))
    with pytest.raises(TooManyWrongKeys):
        wrong.check(*asking("no such key"))


def test_addresses_of_one_network_are_one(clock: Clock) -> None:
    throttle = WrongKeys(Keyring(Settings.model_validate(KEYS)), 0.5, clock)
    for number in range(BURST):
        throttle.note(*asking("no such key", address=f"2001:db8::{number:x}"))
    with pytest.raises(TooManyWrongKeys):
        throttle.check(*asking("no such key", address="2001:db8::ffff"))
    throttle.check(*asking("no such key", address="2001:db8:0:1::1"))


def test_the_log_says_it_once_a_minute_and_never_the_key(
    wrong: WrongKeys, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    clock.now += 60
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            wrong.note(*asking("no such key"))
    assert caplog.messages == [f"wrong keys from 192.0.2.1: {BURST} since they were last reported"]


def test_without_a_rate_nothing_is_throttled(clock: Clock) -> None:
    throttle = WrongKeys(Keyring(Settings.model_validate(KEYS)), 0.0, clock)
    for _ in range(3 * BURST):
        throttle.check(*asking("no such key"))
        throttle.note(*asking("no such key"))


def test_addresses_are_forgotten_when_there_are_too_many(clock: Clock, wrong: WrongKeys) -> None:
    for number in range(1024):
        wrong.note(*asking("no such key", address=f"198.51.{number // 256}.{number % 256}"))
    wrong.check(*asking("no such key"))


@pytest.fixture(scope="module")
def keyed(made: dict[str, Made], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with keys."""
    settings = {"store": str(tmp_path_factory.mktemp("keyed") / "store.db"), "wrong_key_rate": 0.001, **KEYS}
    with serving(Settings.model_validate(settings), {"cats": made["cats"]}) as server:
        yield server


def test_a_flood_of_wrong_keys_is_throttled_and_nobody_else_is(keyed: Live, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        replies = [keyed.client.get("/v1/tasks", headers={"Authorization": "Bearer wrong"}) for _ in range(BURST + 20)]
    assert [reply.status_code for reply in replies] == [401] * BURST + [429] * 20
    assert (replies[-1].json()["code"], replies[-1].headers["retry-after"]) == ("too_many_wrong_keys", "1")
    assert sum("wrong keys from 127.0.0.1" in message for message in caplog.messages) == 1
    good = {"Authorization": f"Bearer {KEYS['predict_key']}"}
    assert keyed.client.get("/v1/tasks", headers=good).status_code == 200
    assert keyed.client.get("/health/ready").status_code == 200
    assert keyed.client.get("/v1/tasks").status_code == 401

"""The connections that keep a place when too many are open: the rules alone, and over bare sockets."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from service.errors import TooManyRequests
from service.http.entrance import Guard
from service.http.places import Places, Pressure, Turns
from service.settings import Settings
from tests.service.adapters import Made
from tests.service.live import Live, serving
from tests.service.wire import read, request, send

PREDICT_KEY, MANAGE_KEY = "places-predict-key-1", "places-manage-key-01"
KEYS = {"predict_key": PREDICT_KEY, "manage_key": MANAGE_KEY}
LIVE = request("GET", "/health/live")
TASKS = request("GET", "/v1/tasks", f"Authorization: Bearer {PREDICT_KEY}")


@dataclass(eq=False)
class Caller:
    """A connection that does as it is told."""

    address: str = "a"
    known: bool = False
    waiting: bool = True
    closed: list[bool] = field(default_factory=list)

    def leave_now(self) -> None:
        self.give_way()

    def give_way(self) -> None:
        self.closed.append(True)


def places(**limits: int) -> Places:
    return Places(Settings.model_validate({**KEYS, **limits}))


def test_a_stranger_takes_the_place_of_the_stranger_that_waits_longest() -> None:
    held = places(connections=10, keyless_connections=3)
    first, second, third, fourth = (Caller(str(number)) for number in range(4))
    assert all(held.enter(caller) for caller in (first, second, third))
    held.used(first)
    assert held.enter(fourth)
    assert [bool(caller.closed) for caller in (first, second, third)] == [False, True, False]
    assert len(held) == 3


def test_an_address_has_a_share_of_its_own() -> None:
    held = places(connections=10, keyless_connections=5, keyless_address_connections=2)
    others = [Caller("b") for _ in range(2)]
    flood = [Caller("a") for _ in range(6)]
    assert all(held.enter(caller) for caller in (*others, *flood))
    assert not any(caller.closed for caller in others)
    assert [bool(caller.closed) for caller in flood] == [True] * 4 + [False] * 2


def test_those_with_a_key_leave_the_share_of_the_others() -> None:
    held = places(connections=4, keyless_connections=1)
    known = [Caller(known=True) for _ in range(3)]
    assert all(held.enter(caller) for caller in known)
    stranger = Caller()
    assert held.enter(stranger)
    assert held.enter(Caller())
    assert stranger.closed
    assert not any(caller.closed for caller in known)


def test_an_idle_one_with_a_key_goes_where_there_is_no_other() -> None:
    held = places(connections=2)
    idle, busy = Caller(known=True), Caller(known=True, waiting=False)
    for caller in (idle, busy):
        assert held.enter(caller)
        held.used(caller)
    third = Caller(waiting=False)
    assert held.enter(third)
    assert (idle.closed, busy.closed) == ([True], [])
    assert not held.enter(Caller())
    held.leave(third)
    held.leave(third)
    assert held.enter(Caller())


def test_who_is_being_answered_is_never_closed() -> None:
    held = places(connections=10, keyless_connections=2)
    busy = [Caller(waiting=False) for _ in range(2)]
    assert all(held.enter(caller) for caller in busy)
    assert not held.enter(Caller())
    assert not any(caller.closed for caller in busy)


def test_where_no_keys_are_needed_only_the_limit_for_all_holds() -> None:
    held = Places(Settings(connections=5, keyless_connections=1, keyless_address_connections=1))
    callers = [Caller() for _ in range(5)]
    assert all(held.enter(caller) for caller in callers)
    assert not any(caller.closed for caller in callers)


def test_turns_are_shared_and_nobody_waits_longer_than_the_most() -> None:
    turns = Turns(0.5, 2.0)
    assert [turns.wait(10.0) for _ in range(6)] == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]
    assert turns.wait(11.75) == 0.75  # the one before goes on at 12.0
    assert turns.wait(20.0) == 0.5


@pytest.fixture(scope="module")
def keyed(made: dict[str, Made], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with keys and few places."""
    store = str(tmp_path_factory.mktemp("keyed") / "store.db")
    limits = {"connections": 30, "keyless_connections": 6, "keyless_address_connections": 4}
    with serving(Settings.model_validate({"store": store, **limits, **KEYS}), {"cats": made["cats"]}) as server:
        yield server


def _places(keyed: Live) -> Places:
    guard: Guard = keyed.server.config.http_protocol_class.guard  # type: ignore[attr-defined]
    return guard.places


def test_idle_connections_without_a_key_keep_nobody_out(keyed: Live) -> None:
    with ExitStack() as stack:
        known = stack.enter_context(keyed.connect())
        send(known, TASKS)
        assert read(known).status == 200
        flood = []
        for _ in range(40):
            flood.append(stack.enter_context(keyed.connect()))
            send(flood[-1], LIVE)
            assert read(flood[-1]).status == 200
        newcomer = stack.enter_context(keyed.connect())
        for connection in (newcomer, known):
            send(connection, TASKS)
            assert read(connection).status == 200
        send(flood[0], LIVE)  # it has lost its place, and gets a new one
        assert read(flood[0]).status == 200
        assert len(_places(keyed)) <= 7


def test_headers_without_an_end_keep_nobody_out(keyed: Live) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(keyed.connect()) for _ in range(4)]
        for connection in slow:
            send(connection, b"GET /health/live HTTP/1.1\r\nX-Slow: ")
            _has_come(keyed, connection)
        newcomer = stack.enter_context(keyed.connect())
        send(newcomer, LIVE)
        assert read(newcomer).status == 200
        send(slow[0], b"1\r\nHost: localhost\r\n\r\n")  # it has lost its place, and gets a new one
        assert read(slow[0]).status == 200


def _has_come(keyed: Live, connection: socket.socket) -> None:
    """Wait until the server has read what a connection sent."""
    port = connection.getsockname()[1]
    while True:
        for each in list(keyed.server.server_state.connections):
            client = getattr(each, "client", None)
            if client and client[1] == port and getattr(each, "_header_timer", None):
                return


def test_many_predictions_at_a_late_event_loop_are_refused_and_few_are_not() -> None:
    pressure, now = Pressure(), 0.0
    for late in (0.0, 0.2, 0.2, 0.2):  # the first call is never late
        now += 0.1 + late
        pressure.tick(now, 0.1)
    assert pressure.share == 1.0
    for _ in range(32):
        pressure.check(whole=False)
    with pytest.raises(TooManyRequests):
        pressure.check(whole=False)
    pressure.under_way = 47
    pressure.check(whole=True)  # the engine is not left without work
    pressure.under_way += 1
    with pytest.raises(TooManyRequests):
        pressure.check(whole=True)
    pressure.tick(now + 0.3, 0.1)
    pressure.under_way -= 1
    for whole in (True, False):
        pressure.check(whole=whole)  # others get their chance


def test_no_more_predictions_are_under_way_than_the_queue_may_hold() -> None:
    pressure = Pressure(most=100)
    pressure.under_way = 99
    pressure.check(whole=True)
    pressure.under_way += 1
    for whole in (True, False):
        with pytest.raises(TooManyRequests):
            pressure.check(whole=whole)


def test_a_single_delay_is_no_overload_and_less_delay_refuses_less() -> None:
    pressure, now = Pressure(), 0.0
    for late in (0.0, 9.0, 0.0, 9.0, 9.0):
        now += 0.1 + late
        pressure.tick(now, 0.1)
        assert pressure.share == 0.0
    for _ in range(3):
        now += 0.1 + 0.055
        pressure.tick(now, 0.1)
    assert pressure.share == pytest.approx(0.5)

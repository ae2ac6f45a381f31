"""Wrong keys by the address that sends them: logged once a minute, and refused early when there are too many.

An address that sends too many wrong keys is not locked out, because it may be a proxy of many clients. Requests from it
with a valid key, or without any, are still served. Only further wrong keys are refused early.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from service.access.keyring import Keyring
from service.errors import TooManyWrongKeys

logger = logging.getLogger(__name__)

BURST = 20  # wrong keys at once after a quiet while

_MOST_ADDRESSES = 1024  # that are remembered
_LOG_SECONDS = 60.0
_NETWORK = 64  # bits of an IPv6 address that one client cannot choose


@dataclass(slots=True)
class _Sender:
    """The wrong keys of one address."""

    tokens: float  # wrong keys that it may still send
    at: float  # monotonic seconds, when that was so
    unlogged: int = 0
    logged_at: float | None = None


class WrongKeys:
    """Counts and throttles wrong keys. Belongs to the event loop."""

    def __init__(self, keyring: Keyring, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`rate` is the number of wrong keys per second that one address may send in the long run; 0: no limit."""
        self._keyring, self._rate, self._clock = keyring, rate, clock
        self._senders: OrderedDict[str, _Sender] = OrderedDict()

    def check(self, address: str | None, key: str | None) -> None:
        """Refuse a wrong key if its address has sent too many; None: there is none.

        Raises:
            TooManyWrongKeys: its key is wrong, and its address has sent too many wrong ones.
        """
        if not self._senders or (sender := self._senders.get(_network(address))) is None:
            return
        if self._rate and self._tokens(sender) < 1 and key and not self._keyring.knows(key):
            self._log(sender, _network(address))
            raise TooManyWrongKeys("too many wrong keys came from this address")

    def note(self, address: str | None, key: str | None) -> None:
        """A request was refused because its key is wrong; one without a key does not count."""
        if not key:
            return
        network, now = _network(address), self._clock()
        sender = self._senders.setdefault(network, _Sender(BURST, now))
        self._senders.move_to_end(network)
        if len(self._senders) > _MOST_ADDRESSES:
            self._senders.popitem(last=False)
        sender.tokens, sender.at = max(0.0, self._tokens(sender) - 1), now
        self._log(sender, network)

    def _tokens(self, sender: _Sender) -> float:
        return min(float(BURST), sender.tokens + (self._clock() - sender.at) * self._rate)

    def _log(self, sender: _Sender, address: str) -> None:
        now = self._clock()
        sender.unlogged += 1
        if sender.logged_at is None or now - sender.logged_at >= _LOG_SECONDS:
            logger.warning("wrong keys from %s: %d since they were last reported", address, sender.unlogged)
            sender.unlogged, sender.logged_at = 0, now


def _network(text: str | None) -> str:
    """The client's address, of IPv6 the network."""
    try:
        address = ip_address(text or "")
    except ValueError:
        return "nowhere"
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return f"{IPv6Address(int(address) >> _NETWORK << _NETWORK)}/{_NETWORK}"
    return str(address)

"""The server and the key of a command: options that all commands with a server share."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mimi.errors import BadOption

if TYPE_CHECKING:
    from service.client import AsyncClient, Client, RetryPolicy

LOCAL = "http://127.0.0.1:8000"
URL = "MIMI_URL"
_KEYS = ("MIMI_MANAGE_KEY", "MIMI_PREDICT_KEY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A server's address. The key comes from MIMI_MANAGE_KEY or MIMI_PREDICT_KEY: others can read a command line.

    Attributes:
        url: the server's address; none: MIMI_URL, else http://127.0.0.1:8000. Keys come from MIMI_MANAGE_KEY and
            MIMI_PREDICT_KEY.
        ca: trust servers of these authorities over HTTPS: a file in PEM.
        certificate: our own certificate, for a server that asks for one.
        certificate_key: its private key; none: in the same file.
    """

    url: Annotated[str | None, "URL"] = None
    ca: Path | None = None
    certificate: Path | None = None
    certificate_key: Path | None = None

    @property
    def named(self) -> str | None:
        """The address that an option or the variable names."""
        return self.url or os.environ.get(URL) or None

    @property
    def address(self) -> str:
        """The server's address, without a slash at its end."""
        return (self.named or LOCAL).rstrip("/")

    def client(self, key: str | None = None) -> "Client":
        """A blocking client, with this key, or else with the one that may do most.

        Raises:
            InvalidArgument, BadOption: the address or a file is none.
        """
        from service.client import Client, trusting

        tls = trusting(self.ca, certificate=self.certificate, certificate_key=self.certificate_key)
        return Client(self.address, key=key or _key(_KEYS), tls=tls if self._private() else None)

    def asynchronous(self, policy: "RetryPolicy", key: str | None = None) -> "AsyncClient":
        """A client for many questions at once, with this key, or else the one that may do least; raises as `client`."""
        from service.client import AsyncClient, trusting

        tls = trusting(self.ca, certificate=self.certificate, certificate_key=self.certificate_key)
        chosen = key or _key(_KEYS[::-1])
        return AsyncClient(self.address, key=chosen, tls=tls if self._private() else None, policy=policy)

    def _private(self) -> bool:
        if self.certificate_key and not self.certificate:
            raise BadOption("--certificate-key needs --certificate")
        return bool(self.ca or self.certificate)


def _key(names: tuple[str, ...]) -> str | None:
    return next(filter(None, map(os.environ.get, names)), None)

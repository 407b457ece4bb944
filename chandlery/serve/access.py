"""Who may ask, and how often: bearer tokens, their limits, and the names by which the service may be called.

A web page of another origin can make a browser ask this machine, and a name of its own point here (DNS rebinding): so
the host has to be one of ours, and so has the page where a browser says which it is. Not here: answers (``service``).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from dataclasses import dataclass

from limits import RateLimitItem, parse

from chandlery.core.hosts import is_called
from chandlery.errors import ConfigurationError
from chandlery.redaction.text import remember
from chandlery.settings import read_secret

TOKENS = "CHANDLERY_SERVE_TOKENS"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ENTRY = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,64}):(?P<token>[A-Za-z0-9._~-]{16,256})(?::(?P<rate>[^:]+))?")


@dataclass(frozen=True, slots=True)
class Client:
    """Who may ask.

    Attributes:
        name: for the rate limit, and for metrics.
        digest: SHA-256 of the token, which is kept nowhere.
        rate: how often this client may ask.
    """

    name: str
    digest: bytes
    rate: RateLimitItem


def read_clients(default_rate: str) -> list[Client]:
    """Return who may ask, as the environment says: ``NAME:TOKEN`` or ``NAME:TOKEN:RATE``, with commas between.

    Args:
        default_rate: of those without one, such as ``600/minute``.

    Raises:
        ConfigurationError: an entry is no such thing, or a name or a token is there twice. No token is repeated.
    """
    given, clients = read_secret(TOKENS) or "", dict[str, Client]()
    fallback = parse_rate(default_rate, "rate")
    for place, entry in enumerate(filter(None, (part.strip() for part in given.split(","))), 1):
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise ConfigurationError(
                f"{TOKENS}: entry {place} is no NAME:TOKEN or NAME:TOKEN:RATE; a token has 16 to 256 letters, digits or"
                " . _ ~ -, for example from `openssl rand -hex 24`; commas stand between entries"
            )
        remember(match["token"])
        rate = parse_rate(match["rate"], f"{TOKENS}: entry {place}") if match["rate"] else fallback
        digest = _digest(match["token"])
        if match["name"] in clients or digest in {each.digest for each in clients.values()}:
            raise ConfigurationError(f"{TOKENS}: entry {place} has a name or a token that another entry has too")
        clients[match["name"]] = Client(match["name"], digest, rate)
    return list(clients.values())


def parse_rate(text: str, where: str) -> RateLimitItem:
    """Return a rate that is written as ``600/minute``."""
    try:
        rate = parse(text)
    except ValueError:
        rate = None
    if rate is None or rate.amount < 1:
        raise ConfigurationError(f"{where}: {text!r} is no rate; write one like 10/second or 600/minute")
    return rate


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask, and under which names.

    Attributes:
        clients: by token; without any, whoever reaches the service may.
        port: on which it listens.
        hosts: names by which it may be called, in lower case, without a port.
        any_address: whether it may be called by any address in numbers and any port, because it listens to others.
    """

    clients: tuple[Client, ...]
    port: int
    hosts: frozenset[str]
    any_address: bool = False

    def find_client(self, authorization: str) -> Client | None:
        """Return whose token a header ``Authorization`` brings, in the same time whatever it is."""
        scheme, _, token = authorization.partition(" ")
        digest, found = _digest(token.strip()), None
        for client in self.clients:
            if hmac.compare_digest(client.digest, digest):
                found = client
        return found if scheme.lower() == "bearer" else None

    def knows_host(self, host: str) -> bool:
        """Whether ``host``, as in a header ``Host`` or an origin, names this service."""
        return is_called(host, self.hosts, self.port, any_address=self.any_address)

    def knows_page(self, origin: str | None, site: str, host: str) -> bool:
        """Whether what a browser says of the page that asks (``Origin``, ``Sec-Fetch-Site``) fits to one of ours."""
        if site not in {"same-origin", "none"}:
            return False
        return origin is None or origin.partition("://")[2].lower() == host.lower()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a service that listens on ``host``."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()

"""Reads ``CHANDLERY_REDIS_URL``. Not here: connecting (``redis``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from chandlery.errors import ConfigurationError
from chandlery.redaction.text import passwords_of, remember

_ALLOWED = (
    "redis://host:6379/0 (port and number of the database may be left out), rediss:// likewise for TLS, or"
    " unix:///path?db=0; user:password@ stands before the host or the path, and @ / ? # % : in a password are written"
    " %40 %2F %3F %23 %25 %3A"
)
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


def parse_address(url: str, password: str | None = None) -> dict[str, Any]:
    """Return the arguments for a connection: host and port or path, number of the database, user, password, files.

    ``tls`` says whether the connection is encrypted. The password is hidden in texts from then on.

    Args:
        url: ``CHANDLERY_REDIS_URL``.
        password: ``CHANDLERY_REDIS_PASSWORD``, where the address holds none.

    Raises:
        ConfigurationError: the address is malformed; its text does not repeat it, because it may hold a password.
    """
    remember(*passwords_of(url), *filter(None, [password]))
    if not url.isprintable() or " " in url:
        raise _error("holds a blank or a character that cannot be seen")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise _error("has a host or a port that cannot be") from None
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise _error("does not begin with redis://, rediss:// or unix://")
    if parts.fragment:
        raise _error("has a # in it")
    found = _unix(parts) if parts.scheme == "unix" else _tcp(parts)
    if parts.username:
        found["username"] = unquote(parts.username)
    if parts.password and password is not None:
        raise ConfigurationError(
            "CHANDLERY_REDIS_URL holds a password, and CHANDLERY_REDIS_PASSWORD is set; keep one of them"
        )
    if parts.password or password is not None:
        found["password"] = unquote(parts.password) if parts.password else password
    return found


def describe(address: Mapping[str, Any]) -> str:
    """Return where a server is, without user and password, of what ``parse_address`` returned."""
    place = address.get("path") or f"{address['host']}:{address['port']}"
    return f"{place}/{address['db']}" if "host" in address else str(place)


def _tcp(parts: SplitResult) -> dict[str, Any]:
    if not parts.hostname:
        raise _error("names no host")
    found: dict[str, Any] = {
        "host": unquote(parts.hostname),
        "port": 6379 if parts.port is None else parts.port,
        "db": _number(parts.path.removeprefix("/")),
        "tls": parts.scheme == "rediss",
    }
    return found | _query(parts, _TLS_FILES if found["tls"] else ())


def _unix(parts: SplitResult) -> dict[str, Any]:
    if not parts.path.startswith("/") or parts.hostname:
        raise _error("names no path of a socket")
    given = _query(parts, ("db",))
    return {"path": unquote(parts.path), "db": _number(given.get("db", "")), "tls": False}


def _number(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise _error("does not end with the number of a database")
    return int(text)


def _query(parts: SplitResult, allowed: tuple[str, ...]) -> dict[str, str]:
    """Return the arguments behind the question mark.

    Time-outs and the like cannot be given there: what a reader waits at most is for us to say.
    """
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(given.keys() - set(allowed)):
        names = f"only {', '.join(allowed)}" if allowed else "nothing"
        raise _error(
            f"has {'something' if len(unknown) == 1 else 'things'} behind ? that cannot be there ({names} can)"
        )
    return given


def _error(what: str) -> ConfigurationError:
    return ConfigurationError(f"CHANDLERY_REDIS_URL {what}; it has to be {_ALLOWED}")

"""Finds out why no connection could be made, where the driver does not say so in a way that a program can tell apart.

Looks at the parts one after another, as a person would: the host's name, the port, TLS. Never at the driver's text,
which may be in any language. Not here: errors that have a SQLSTATE (``errors``).
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

from psycopg import conninfo

_SECONDS = 5.0
#: The message by which a client asks a server whether it speaks TLS; the answer is one byte, S or N.
_TLS_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
_URL = "CHANDLERY_DATABASE_URL"


def diagnose(dsn: str) -> str | None:
    """Return what to do so that the server of ``dsn`` can be reached; None where there is nothing to be seen."""
    host, port = _place(dsn)
    if _is_socket(host):
        if host and Path(f"{host}/.s.PGSQL.{port}").exists():
            return None
        where = f"in {host}" if host else "on this machine's default socket"
        return f"no server listens {where} at port {port}: start it, or check host and port in {_URL}"
    found = find_addresses(dsn)
    if found is None:
        return f"the host name {host} is not known here: check it in {_URL}, or the network"
    for family, address in found:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.settimeout(_SECONDS)
                probe.connect(address)
                probe.sendall(_TLS_REQUEST)
                return _explain_tls(probe, host, _options(dsn))
        except OSError:
            continue
    return f"nothing answers at {host} port {port}: start the server, or check host and port in {_URL}, and firewalls"


def find_addresses(dsn: str) -> list[tuple[socket.AddressFamily, Any]] | None:
    """Return where the server of ``dsn`` may be, none for a unix socket; None where its host's name is not known."""
    host, port = _place(dsn)
    if _is_socket(host):
        return []
    try:
        return [(family, at) for family, *_, at in socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError, ValueError):
        return None


def _place(dsn: str) -> tuple[str, str]:
    """Return host and port, the first of several."""
    options = _options(dsn)
    host = options.get("hostaddr", options.get("host", "")).split(",")[0]
    return host, options.get("port", "").split(",")[0] or "5432"


def _is_socket(host: str) -> bool:
    return not host or host.startswith(("/", "@"))


def _options(dsn: str) -> dict[str, str]:
    return {name: str(value) for name, value in conninfo.conninfo_to_dict(dsn).items() if value is not None}


def _explain_tls(probe: socket.socket, host: str, options: dict[str, str]) -> str | None:
    """Return what is wrong with TLS, by the server's answer to the question whether it speaks it."""
    mode, answer = options.get("sslmode", "prefer"), probe.recv(1)
    if answer == b"N" and mode in {"require", "verify-ca", "verify-full"}:
        return f"the server speaks no TLS: have it turned on there (ssl = on), or take sslmode={mode} out of {_URL}"
    if answer == b"S" and mode in {"verify-ca", "verify-full"}:
        root = options.get("sslrootcert", str(Path("~/.postgresql/root.crt").expanduser()))
        if root != "system" and not Path(root).is_file():
            return f"there is no file of certificates {root}: name the one to trust as sslrootcert in {_URL}"
        fault = _find_fault(probe, host if mode == "verify-full" else None, root)
        return f"its certificate is refused ({fault}): check host and sslrootcert in {_URL}" if fault else None
    return None if answer in {b"N", b"S"} else f"what answers there is no PostgreSQL: check host and port in {_URL}"


def _find_fault(probe: socket.socket, host: str | None, root: str) -> str | None:
    """Return what is wrong with the server's certificate."""
    try:
        context = ssl.create_default_context(cafile=None if root == "system" else root)
        context.check_hostname = host is not None
        context.wrap_socket(probe, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except (OSError, ValueError) as error:
        return type(error).__name__
    return None

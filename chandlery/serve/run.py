"""Serves until Ctrl-C or SIGTERM. Not here: what is answered (``service``)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Sequence

import uvicorn

from chandlery.api.asynchronous import AsyncDataAPI
from chandlery.errors import ConfigurationError, UsageError
from chandlery.serve.access import LOOPBACK, TOKENS, Access, is_loopback, read_clients
from chandlery.serve.service import build

#: How long answers that are under way may take once the service ends, in seconds.
_SECONDS_TO_END = 10


def serve(  # noqa: PLR0917 - what the command takes
    api: AsyncDataAPI,
    host: str,
    port: int,
    allowed_hosts: Sequence[str],
    rate: str,
    most_rows: int,
    started: Callable[[str, int], None],
) -> None:
    """Serve until interrupted.

    Args:
        api: what is read; it is closed at the end.
        host: address to listen on.
        port: likewise; 0 for any that is free.
        allowed_hosts: other names by which the service is called, such as that of a proxy before it.
        rate: how often a token may ask that says nothing of it.
        most_rows: of one answer.
        started: is called with the address and the number of clients, once requests are accepted.

    Raises:
        ConfigurationError: the tokens are malformed, or there is none and the address is not loopback.
        UsageError: the address cannot be listened on.
    """
    clients = read_clients(rate)
    if not clients and not is_loopback(host):
        raise ConfigurationError(
            f"host={host!r} is reached by others, and {TOKENS} names no token: set it to NAME:TOKEN, for example with"
            " `openssl rand -hex 24`, or listen on 127.0.0.1"
        )
    with _listen(host, port) as listening:
        port = listening.getsockname()[1]
        names = frozenset(name.lower() for name in {host, *allowed_hosts, *LOOPBACK} - {"0.0.0.0", "::"})  # noqa: S104
        any_address = not is_loopback(host) or bool(allowed_hosts)
        app = build(api, Access(tuple(clients), port, names, any_address), most_rows=most_rows)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=_SECONDS_TO_END,
        )
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        with contextlib.suppress(KeyboardInterrupt):  # which uvicorn raises again once all has ended
            asyncio.run(_serve(uvicorn.Server(config), api, listening, lambda: started(address, len(clients))))


async def _serve(
    server: uvicorn.Server, api: AsyncDataAPI, listening: socket.socket, started: Callable[[], None]
) -> None:
    async with api:
        # The socket accepts already, so that nobody who hears of it comes too early.
        started()
        await server.serve(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"port={port} on {host} is in use, perhaps by another `chandlery serve`; end that, or give --port"
            ) from None
        raise UsageError(f"host={host!r} port={port} cannot be listened on: {error.strerror or error}") from None

"""The process that serves the web UI: Dagster's web server and our pictures behind ``guard``.

Started by ``serve`` and by containers. The token comes from the environment variable ``CHANDLERY_UI_TOKEN`` or from the
file that ``CHANDLERY_UI_TOKEN_FILE`` names, never from the command line, which others can see. Not here: what is let in
(``guard``), what pictures show (``candles``), and the other processes of the UI (``serve``).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import closing

import dagster as dg
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__

from chandlery.app.ui_token import TOKEN_VARIABLE, check_token
from chandlery.settings import Settings, read_secret
from chandlery.tiers.warehouse import Warehouse
from pipelines.candles import Candles
from pipelines.guard import Access, Guard

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_STATEMENT_TIMEOUT_MS = 15_000
_RECYCLED_AFTER_SECONDS = 3600
_MOST_CONNECTIONS = 20


def access(token: str, host: str, port: int, allowed_hosts: Sequence[str] = ()) -> Access:
    """Return who may use a server that listens on ``host`` and ``port``.

    Args:
        token: of the installation.
        host: address on which the server listens; only by this machine's own names where it is one of them.
        port: on which the server listens.
        allowed_hosts: other names by which the server is called, for example those of a proxy before it.
    """
    names = {host, *allowed_hosts, *_LOOPBACK} - {"0.0.0.0", "::"}  # noqa: S104 - names, not a socket
    return Access(
        token,
        port,
        frozenset(name.lower() for name in names),
        any_address=host not in _LOOPBACK,
        proxies=frozenset(name.lower() for name in allowed_hosts),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.web", description="Serve the web UI.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=3000, help="port to listen on")
    parser.add_argument("--workspace", required=True, help="workspace.yaml, which says where the code server is")
    parser.add_argument("--allow-host", action="append", default=[], help="another name of this server")
    given = parser.parse_args(arguments)
    token = check_token(read_secret(TOKEN_VARIABLE) or "")
    # Out of the environment, so that no process started from here inherits it.
    os.environ.pop(TOKEN_VARIABLE, None)
    with dg.DagsterInstance.get() as instance:
        instance.optimize_for_webserver(_STATEMENT_TIMEOUT_MS, _RECYCLED_AFTER_SECONDS, _MOST_CONNECTIONS)
        target = WorkspaceFileTarget(paths=[given.workspace])
        with WorkspaceProcessContext(instance, version=__version__, workspace_load_target=target) as context:
            allowed = access(token, given.host, given.port, given.allow_host)
            pages = create_app_from_workspace_process_context(context, allowed.prefix)
            candles = Candles(pages, lambda: Warehouse.open(Settings()))
            app = Guard(candles, allowed)
            # The address of a request may hold the token: no access log.
            with closing(candles):
                uvicorn.run(
                    app, host=given.host, port=given.port, log_level="warning", access_log=False, server_header=False
                )


if __name__ == "__main__":
    main()

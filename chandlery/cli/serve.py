"""``serve``: a read-only HTTP service. Not here: what it answers (``chandlery.serve``)."""

from __future__ import annotations

from typing import Annotated

import typer

from chandlery.cli.output import note, say
from chandlery.cli.session import Session
from chandlery.core.optional import import_optional

#: The port of the service, unless somebody says otherwise.
PORT = 8321


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Examples:\n\nchandlery serve\n\nCHANDLERY_SERVE_TOKENS_FILE=/run/secrets/tokens chandlery serve --host"
        " 0.0.0.0 --allow-host bars.example.org"
    )(serve)


def serve(
    ctx: typer.Context,
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any that is free.")] = PORT,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another name of this service, such as that of a proxy. May be repeated.")
    ] = None,
    rate: Annotated[str, typer.Option(help="How often a token may ask that says nothing of it.")] = "600/minute",
    max_rows: Annotated[int, typer.Option(min=1, help="Rows of one answer; a cursor goes on.")] = 100_000,
    threads: Annotated[int, typer.Option(min=1, max=64, help="How many reads run at a time.")] = 8,
) -> None:
    """Serve bars over HTTP until Ctrl-C: /v1/ohlc, latest, coverage and instruments; /health, /metrics and /docs.

    Whoever has a token of CHANDLERY_SERVE_TOKENS may read: NAME:TOKEN, or NAME:TOKEN:RATE, with commas between. Without
    any token, it listens on this machine alone, and every user of the machine may read.
    """
    for module in ("fastapi", "limits", "prometheus_client"):
        import_optional(module, extra="serve", needed_by="`chandlery serve`", package=module.replace("_", "-"))
    from chandlery.api.asynchronous import AsyncDataAPI  # noqa: PLC0415 - slow to import
    from chandlery.cache.opening import open_cache  # noqa: PLC0415 - likewise
    from chandlery.serve.run import serve as run  # noqa: PLC0415 - likewise

    def started(address: str, clients: int) -> None:
        say(f"serving on {address} (what there is: {address}/docs); Ctrl-C ends it")
        if not clients:
            note("No token is set: every user of this machine may read. CHANDLERY_SERVE_TOKENS names who may.")

    session = Session.of(ctx)
    api = AsyncDataAPI(session.warehouse, cache=open_cache(session.settings), threads=threads)
    run(api, host, port, allow_host or (), rate, max_rows, started)

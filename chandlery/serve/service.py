"""The addresses of the service, and what each answers. Not here: who may ask (``gate``), and serving (``run``)."""

from __future__ import annotations

import asyncio
import hashlib
import html
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from urllib.parse import urlencode

import pyarrow as pa
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response

import chandlery
from chandlery.api.asynchronous import AsyncDataAPI
from chandlery.api.versions import Version
from chandlery.core.text import shorten
from chandlery.errors import ChandleryError, UnknownSymbolError, UsageError
from chandlery.serve.access import Access
from chandlery.serve.answers import FORMS, choose_form, problem, write_table
from chandlery.serve.gate import FAULT, Gate
from chandlery.serve.metrics import CONTENT_TYPE, Metrics
from chandlery.serve.pages import Cursor, cut, digest_of
from chandlery.serve.parameters import Coverage, Latest, Ohlc, Paged, Some

_ABOUT = (
    "Reads market bars. Tables come as JSON, CSV, Arrow IPC stream or Parquet, by `Accept`; what an address takes is"
    " what `DataAPI` takes. Ranges are half-open, [start, end), in UTC. See docs/serve.md."
)


class Service:
    """Answers over one ``AsyncDataAPI``.

    Args:
        api: what is read.
        metrics: counts rows.
        most_rows: of one answer.
    """

    def __init__(self, api: AsyncDataAPI, metrics: Metrics, most_rows: int) -> None:
        self._api, self._metrics, self._most_rows = api, metrics, most_rows

    async def ohlc(self, request: Request, given: Annotated[Ohlc, Query()]) -> Response:
        """Bars of one symbol or of several that start in [start, end)."""
        options = {
            name: getattr(given, name)
            for name in ("limit", "final_only", "exclude_suspect", "session", "anchor", "fill", "adjust")
        }
        span = (given.start, given.end, given.timeframe)
        version = await self._api.version(given.symbol, *span, session=given.session, anchor=given.anchor)  # type: ignore[arg-type]

        async def read(as_of: str | None) -> pa.Table:
            how: Any = {**options, "columns": given.names, "as_of": as_of, "output": "arrow"}
            if len(given.symbol) == 1:
                return await self._api.get_ohlc(given.symbol[0], *span, **how)
            return await self._api.get_multi_symbol(given.symbol, *span, **how)

        tag = version.digest if given.is_plain else None
        return await self._answer(request, given, read, tag, _moment(version))

    async def latest(self, request: Request, given: Annotated[Latest, Query()]) -> Response:
        """The newest bar of each symbol."""
        version = await self._api.version(given.symbol, timeframe=given.timeframe)

        async def read(as_of: str | None) -> pa.Table:
            return await self._api.latest(
                given.symbol, given.timeframe, as_of=as_of, columns=given.names, output="arrow"
            )

        tag = None if {"state", "released"} & set(given.names) else version.digest
        return await self._answer(request, given, read, tag, _moment(version))

    async def coverage(self, request: Request, given: Annotated[Coverage, Query()]) -> Response:
        """What there is of each instrument and timeframe, and how much is missing."""

        async def read(_: str | None) -> pa.Table:
            return await self._api.coverage(given.symbol or None, given.timeframe, output="arrow")

        return await self._answer(request, given, read)

    async def instruments(self, request: Request, given: Annotated[Some, Query()]) -> Response:
        """Which instruments there are."""

        async def read(_: str | None) -> pa.Table:
            return await self._api.instruments(given.symbol or None, output="arrow")

        return await self._answer(request, given, read)

    async def health(self, request: Request) -> Response:
        """Whether the database and the lake can be reached; with a token, also how, and all versions."""
        seen = await self._api.health()
        body: dict[str, Any] = {"ok": seen.ok}
        if request.scope["client_name"] is not None or request.scope["is_open"]:
            for name in ("database", "lake"):
                part = getattr(seen, name)
                body[name] = {"ok": part.ok, "milliseconds": part.milliseconds, "trouble": part.trouble}
            body["versions"] = dict(seen.versions)
            places = [{"place": each.place, "ok": each.trouble is None} for each in seen.stats.cache]
            body |= {"cache": places, "connections": seen.stats.connections.open}
        return JSONResponse(body, 200 if seen.ok else 503)

    async def metrics(self) -> Response:
        """Requests, their time and rows, the cache and the connections, for Prometheus."""
        return Response(await asyncio.to_thread(self._metrics.write), headers={"Content-Type": CONTENT_TYPE})

    async def _answer(
        self,
        request: Request,
        given: Paged,
        read: Callable[[str | None], Awaitable[pa.Table]],
        version: str | None = None,
        known_at: str | None = None,
    ) -> Response:
        """Return a page of what ``read`` returns as of a moment, in the form that is accepted.

        Args:
            request: what was asked.
            given: its parameters.
            read: returns the whole answer as of a moment; of now without any.
            version: of the bars that it is made of; None where nothing tells whether it changed.
            known_at: the moment as of which it stays as it is now; None where it has no history.
        """
        form = choose_form(request.headers.get("accept", ""))
        if form is None:
            return problem(
                406, f"Accept={request.headers['accept']!r} names no form of tables; allowed: {' '.join(FORMS)}"
            )
        cursor = Cursor.parse(given.cursor, digest_of(request.url.path, given.others()))
        most = min(given.rows or self._most_rows, self._most_rows)
        headers = {"Vary": "Accept, Authorization"}
        if version is not None:
            content = f"{version} {form} {most} {cursor} {chandlery.__version__}"
            headers["ETag"] = f'"{hashlib.sha256(content.encode()).hexdigest()[:32]}"'
            if _is_known(request.headers.get("if-none-match"), headers["ETag"]):
                return Response(status_code=304, headers=headers)
        as_of = getattr(given, "as_of", None) or cursor.as_of
        table = await read(as_of)
        if as_of is None and known_at is not None and table.num_rows > most:
            as_of = known_at
            table = await read(as_of)
        page, following = cut(table, cursor, most, as_of)
        if as_of is not None:
            headers["X-As-Of"] = as_of
        if following is not None:
            address = urlencode([*_without_cursor(request), ("cursor", str(following))])
            headers |= {"X-Next-Cursor": str(following), "Link": f'<{request.url.path}?{address}>; rel="next"'}
        self._metrics.rows.labels(request.url.path).inc(page.num_rows)
        extra = {"as_of": as_of, "next": None if following is None else str(following)}
        body = await asyncio.to_thread(write_table, page, form, extra)
        return Response(body, headers=headers, media_type=form)


def build(api: AsyncDataAPI, access: Access, *, most_rows: int) -> Gate:
    """Return the whole service, as ASGI."""
    # DataAPI's own, because Prometheus asks from a thread.
    metrics = Metrics(api.read_stats)
    service = Service(api, metrics, most_rows)
    app = FastAPI(title="Chandlery", version=chandlery.__version__, description=_ABOUT, docs_url=None, redoc_url=None)
    forms: dict[int | str, dict[str, Any]] = {200: {"content": {form: {} for form in FORMS}}}
    for name in ("ohlc", "latest", "coverage", "instruments"):
        app.add_api_route(f"/v1/{name}", getattr(service, name), responses=forms, response_class=Response)
    app.add_api_route("/health", service.health)
    app.add_api_route("/metrics", service.metrics, response_class=Response)
    app.add_api_route("/docs", lambda: HTMLResponse(_page(app.openapi())), include_in_schema=False)
    app.add_exception_handler(ChandleryError, _explain)
    app.add_exception_handler(RequestValidationError, _explain_parameters)
    app.add_exception_handler(HTTPException, _explain_address)
    app.add_exception_handler(Exception, _admit)
    paths = frozenset(getattr(route, "path", "") for route in app.routes)
    return Gate(app, access, metrics, paths)


async def _explain(_: Request, error: Exception) -> Response:
    if isinstance(error, UsageError):
        return problem(404 if isinstance(error, UnknownSymbolError) else 400, str(error))
    return problem(503, str(error))


async def _explain_parameters(_: Request, error: Exception) -> Response:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    name = str(first.get("loc", ["?"])[-1])
    if first.get("type") == "extra_forbidden":
        return problem(400, f"{name} is no parameter of this address; /docs lists them")
    given = "" if first.get("type") == "missing" else f"={shorten(first.get('input'))}"
    return problem(400, f"{name}{given}: {first.get('msg', 'is wrong')}")


async def _admit(_: Request, __: Exception) -> Response:
    """Answer where the fault is ours; it is raised once more, and ``gate`` logs it."""
    return problem(500, FAULT)


async def _explain_address(_: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    return problem(
        status, "there is nothing at this address; /docs lists what there is" if status == 404 else str(error)
    )


def _moment(version: Version) -> str | None:
    return None if version.known_at is None else version.known_at.isoformat()


def _is_known(header: str | None, tag: str) -> bool:
    known = [each.strip().removeprefix("W/") for each in (header or "").split(",")]
    return tag in known or "*" in known


def _without_cursor(request: Request) -> list[tuple[str, str]]:
    return [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]


def _page(schema: dict[str, Any]) -> str:
    """Return the OpenAPI description as a page that needs nothing from anywhere else."""
    parts = []
    for path, methods in schema["paths"].items():
        about = methods["get"]
        rows = "".join(
            f"<tr><td><code>{html.escape(each['name'])}</code><td>{html.escape(each.get('description', ''))}"
            for each in about.get("parameters", [])
        )
        parts.append(f"<h2>GET {path}</h2><p>{html.escape(about.get('description', ''))}</p><table>{rows}</table>")
    style = "body{font:16px/1.5 system-ui;max-width:50rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Chandlery</title><style>{style}"
        f"td{{padding-right:1rem;vertical-align:top}}</style><h1>Chandlery {schema['info']['version']}</h1>"
        f"<p>{html.escape(_ABOUT)} <a href=/openapi.json>openapi.json</a></p>{''.join(parts)}</html>"
    )

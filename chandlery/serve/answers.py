"""Tables as answers: JSON, CSV, Arrow IPC or Parquet, by ``Accept``; problems as JSON. Not here: what is in them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from starlette.responses import Response

#: The forms in which tables are answered; the first where anything is accepted.
FORMS = ("application/json", "text/csv", "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet")
_PROBLEM = "application/problem+json"


def choose_form(accept: str) -> str | None:
    """Return the form that a header ``Accept`` prefers, or None where it accepts none."""
    weights: dict[str, float] = {}
    for part in (accept or "*/*").split(","):
        kind, *parameters = (each.strip().lower() for each in part.split(";"))
        quality = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        try:
            weights[kind] = float(quality)
        except ValueError:
            weights[kind] = 0.0
    best = max(FORMS, key=lambda form: _weight(form, weights))
    return best if _weight(best, weights) > 0 else None


def write_table(table: pa.Table, form: str, extra: Mapping[str, object]) -> bytes:
    """Return ``table`` in one of ``FORMS``; JSON has its rows as ``rows``, beside ``extra``."""
    if form == "application/json":
        rows = [{name: _plain(value) for name, value in row.items()} for row in _as_text(table).to_pylist()]
        return json.dumps({**extra, "rows": rows}, allow_nan=False).encode()
    sink = pa.BufferOutputStream()
    if form == "text/csv":
        pa.csv.write_csv(_as_text(table, lists=True), sink)
    elif form == FORMS[2]:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    else:
        pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error as RFC 9457 has it."""
    titles = {400: "Bad request", 401: "Unauthorized", 403: "Forbidden", 404: "Not found", 405: "Method not allowed"}
    titles |= {406: "Not acceptable", 421: "Misdirected request", 429: "Too many requests", 503: "Unavailable"}
    body = {"type": "about:blank", "title": titles.get(status, "Error"), "status": status, "detail": detail}
    return Response(json.dumps(body), status, dict(headers or {}), _PROBLEM)


def _weight(form: str, weights: Mapping[str, float]) -> float:
    for kind in (form, f"{form.partition('/')[0]}/*", "*/*"):
        if kind in weights:
            return weights[kind]
    return 0.0


def _as_text(table: pa.Table, *, lists: bool = False) -> pa.Table:
    """Return ``table`` with times as ISO 8601 in UTC, dates as such, and with ``lists``, texts joined by spaces."""
    for place, field in enumerate(table.schema):
        column = table.column(place)
        if pa.types.is_timestamp(field.type):
            text = pc.strftime(_in_seconds(column), format="%Y-%m-%dT%H:%M:%SZ")
        elif pa.types.is_date(field.type) or pa.types.is_dictionary(field.type):
            text = column.cast(pa.string())
        elif pa.types.is_list(field.type) and lists:
            text = pc.binary_join(column, " ")
        else:
            continue
        table = table.set_column(place, field.name, text)
    return table


def _in_seconds(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return times in whole seconds where they are, so that their text has no more digits than they need."""
    try:
        return column.cast(pa.timestamp("s", tz="UTC"))
    except pa.ArrowInvalid:
        return column


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value

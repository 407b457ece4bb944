"""An interactive chart of candles as one HTML file, which opens without a network.

The page's own script draws on a canvas; tables below say the same to whoever cannot see it. Not here: what is shown
(``candle_chart``), and pictures as PNG (``charts``).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from chandlery.core.text import counted, write_number
from chandlery.pictures.candle_axis import Axis, lay_axis, place_of
from chandlery.pictures.candle_chart import CATEGORIES, KINDS, Blank, CandleChart, Mark
from chandlery.pictures.packed import (
    Floats,
    Int64s,
    Packed,
    pack_bytes,
    pack_decimals,
    pack_integers,
    pack_prices,
    pack_rounded,
)

_TEMPLATES = Path(__file__).parent / "templates"
_SCRIPTS = ("unpack.js", "scene.js", "draw.js", "say.js", "page.js")
#: So many rows of a table are written into the page; so many rejected rows are drawn, and marks told of by words.
_MOST_ROWS, MOST_REJECTED, _MOST_TOLD = 300, 2_000, 5_000
#: What is marked of a bar, as bits; the script knows them too.
_BITS = {"extended": 1, "revision": 2, "false_print": 4, "finding": 8, "released": 16, "rejected": 32}


def render_chart(chart: CandleChart) -> str:
    """Return the page. All texts in it are escaped, and it may load nothing from anywhere."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - slow to import, rarely needed

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = _script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("candles.html.j2").render(
        chart=chart,
        title=f"{chart.symbol} {chart.width}",
        style=(_TEMPLATES / "candles.css").read_text(encoding="utf-8"),
        script=script,
        script_digest=digest,
        data=_json(_data(chart)),
        summary=_summary(chart),
        reasons=_reasons(chart.blanks),
        kinds=_kinds(chart.marks),
        lines=chart.lines,
        has_extended=bool(chart.extended.any()),
        tables=[_gap_table(chart), _mark_table(chart)],
    )


@lru_cache(maxsize=1)
def _script() -> str:
    parts = [(_TEMPLATES / name).read_text(encoding="utf-8") for name in _SCRIPTS]
    return '"use strict";\n(() => {\n' + "".join(parts) + "})();\n"


def _json(value: object) -> str:
    """Return JSON that may stand in a page: nothing in it can end its element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _data(chart: CandleChart) -> dict[str, Any]:
    """Return what the script reads."""
    ts = _micros(chart)
    drawn = _drawn(chart.marks)
    axis = lay_axis(ts, chart.blanks, drawn, is_intraday=chart.is_intraday)
    unit = 1_000_000 if chart.is_intraday else 86_400_000_000
    unit = unit if not (ts % unit).any() else 1_000
    bars = {name: _numbers(chart, name) for name in ("open", "high", "low", "close", "volume")}
    told = _told(chart, axis, ts, drawn)
    return {
        "symbol": chart.symbol,
        "width": chart.width,
        "intraday": chart.is_intraday,
        "length": axis.length,
        "unit": unit // 1_000,
        "ts": pack_integers(ts // unit),
        "places": pack_integers(axis.bars),
        "prices": pack_prices(bars["open"], bars["high"], bars["low"], bars["close"]),
        "volume": pack_decimals(bars["volume"], near=False),
        "flags": pack_bytes(_flags(chart, ts)),
        "lines": [
            {"name": line.name, "panel": line.panel, "values": pack_rounded(line.values)} for line in chart.lines
        ],
        "reasons": [{"key": key, "name": each.name, "about": each.about} for key, each in CATEGORIES.items()],
        "gaps": _packed_gaps(chart.blanks, axis, unit),
        "details": {str(n): blank.detail for n, blank in enumerate(chart.blanks) if blank.detail},
        "kinds": KINDS,
        "marks": told,
    }


def _packed_gaps(blanks: Sequence[Blank], axis: Axis, unit: int) -> dict[str, Packed | str]:
    codes = {reason: code for code, reason in enumerate(CATEGORIES)}
    columns = {name: np.array([getattr(each, name) for each in blanks], np.int64) for name in ("start", "end", "slots")}
    return {
        "place": pack_integers(axis.blanks),
        "wide": pack_integers(axis.widths),
        "start": pack_integers(columns["start"] // unit),
        "end": pack_integers(columns["end"] // unit),
        "slots": pack_integers(columns["slots"]),
        "reason": pack_bytes(np.array([codes[each.reason] for each in blanks], np.uint8)),
    }


def _flags(chart: CandleChart, ts: Int64s) -> np.ndarray[Any, np.dtype[np.uint8]]:
    flags = np.where(chart.extended, _BITS["extended"], 0).astype(np.uint8)
    for kind in KINDS:
        marked = np.array([mark.ts for mark in chart.marks if mark.kind == kind], np.int64)
        flags[np.isin(ts, marked)] |= _BITS[kind]
    return flags


def _drawn(marks: Sequence[Mark]) -> Int64s:
    """Return the starts of the rejected rows that are drawn, ascending."""
    return np.unique(np.array([mark.ts for mark in marks if mark.kind == "rejected"], np.int64))[:MOST_REJECTED]


def _told(chart: CandleChart, axis: Axis, ts: Int64s, drawn: Int64s) -> list[dict[str, Any]]:
    """Return what is said of single places, in their order."""
    by_place: dict[int, list[Mark]] = defaultdict(list)
    for mark in chart.marks[:_MOST_TOLD]:
        place = place_of(axis, ts, chart.blanks, drawn, mark.ts)
        if place is not None:
            by_place[place].append(mark)
    return [
        {
            "place": place,
            "ts": marks[0].ts // 1_000,
            "says": [[mark.kind, mark.text] for mark in marks],
            "rejected": next(
                ([_finite(v) for v in m.values] for m in marks if m.kind == "rejected" and m.values), None
            ),
        }
        for place, marks in sorted(by_place.items())
    ]


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def _reasons(blanks: Sequence[Blank]) -> list[dict[str, Any]]:
    """Return the reasons that occur, for the legend."""
    gaps, slots = Counter(blank.reason for blank in blanks), Counter[str]()
    for blank in blanks:
        slots[blank.reason] += blank.slots
    return [
        {"key": key, "name": each.name, "about": each.about, "gaps": gaps[key], "slots": slots[key]}
        for key, each in CATEGORIES.items()
        if gaps[key]
    ]


def _kinds(marks: Sequence[Mark]) -> list[dict[str, Any]]:
    """Return the kinds of marks that occur; each counts the bars that it is on."""
    places = {kind: {mark.ts for mark in marks if mark.kind == kind} for kind in KINDS}
    return [{"key": kind, "name": KINDS[kind], "count": len(found)} for kind, found in places.items() if found]


def _summary(chart: CandleChart) -> str:
    """Return what the picture shows, for whoever cannot see it."""
    if not chart.bars.num_rows:
        return f"{chart.symbol} {chart.width}: no bars."
    ts, close = _micros(chart), _numbers(chart, "close")
    high, low = _numbers(chart, "high"), _numbers(chart, "low")
    span = f"{_moment(chart, int(ts[0]))} to {_moment(chart, int(ts[-1]))}"
    missing = sum(blank.slots for blank in chart.blanks if blank.reason != "closed")
    return (
        f"Candles of {chart.symbol} {chart.width}, {counted(len(ts), 'bar')} from {span} UTC. The last close is"
        f" {write_number(float(close[-1]))}, the highest high {write_number(float(np.nanmax(high)))}, the lowest low"
        f" {write_number(float(np.nanmin(low)))}. {counted(missing, 'bar')} missing."
    )


def _gap_table(chart: CandleChart) -> dict[str, Any]:
    rows = [
        (
            _moment(chart, blank.start),
            _moment(chart, blank.end),
            CATEGORIES[blank.reason].name,
            counted(blank.slots, "day" if blank.reason == "closed" else "bar"),
            blank.detail or CATEGORIES[blank.reason].about,
        )
        for blank in chart.blanks
    ]
    return _table("Gaps", ("from", "until", "reason", "length", "what is known"), rows)


def _mark_table(chart: CandleChart) -> dict[str, Any]:
    rows = [(_moment(chart, mark.ts), KINDS[mark.kind], mark.text) for mark in chart.marks]
    return _table("What is marked", ("bar", "mark", "what is known"), rows)


def _table(title: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    return {"title": title, "names": names, "rows": rows[:_MOST_ROWS], "count": len(rows)}


def _moment(chart: CandleChart, micros: int) -> str:
    # Not ``fromtimestamp``, which knows no years far from now.
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    return f"{moment:%Y-%m-%d %H:%M}" if chart.is_intraday else f"{moment:%Y-%m-%d}"


def _micros(chart: CandleChart) -> Int64s:
    ts: Int64s = chart.bars["ts"].to_numpy().astype("datetime64[us]").astype(np.int64)
    return ts


def _numbers(chart: CandleChart, name: str) -> Floats:
    values: Floats = chart.bars[name].to_numpy().astype(np.float64, copy=False)
    return values

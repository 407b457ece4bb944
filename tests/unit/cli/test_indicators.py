"""``chandlery indicators``: every indicator is listed."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from chandlery.cli import app
from chandlery.indicators.registry import list_indicators, parse


def test_every_indicator_is_listed_with_what_it_takes_and_gives() -> None:
    done = CliRunner().invoke(app, ["indicators"])
    assert done.exit_code == 0
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert set(lines) >= {one.name for one in list_indicators()}
    assert "fast=12 slow=26 signal=9" in lines["MACD"]
    assert "MACD_12_26_9 MACD_12_26_9_signal MACD_12_26_9_hist" in lines["MACD"]
    assert "session" in lines["VWAP"]


def test_for_programs_the_list_is_json() -> None:
    listed = {one["name"]: one for one in json.loads(CliRunner().invoke(app, ["indicators", "--json"]).stdout)}
    assert list(listed) == [one.name for one in list_indicators()]
    assert listed["RSI"] == {
        "name": "RSI",
        "about": listed["RSI"]["about"],
        "parameters": [{"name": "n", "default": 14, "least": 2, "most": 100_000}],
        "columns": ["RSI_14"],
        "inputs": ["close"],
        "warmup": parse("RSI_14").warmup,
        "counted_from": "warm-up",
    }

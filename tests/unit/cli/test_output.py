"""What a terminal shows: every digit, no column that matters left out, nothing that it cannot show."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from chandlery.cli.grid import Grid
from chandlery.cli.output import number, out, say, show_table, table

WIDTHS = (8, 20, 40, 60, 80, 200)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),  # noqa: RUF001 - as it is shown
        (0.000010000001, "0.000010000001"),
        (0.00001234, "0.00001234"),
        (0.86501, "0.86501"),
        (1234567.25, "1,234,567.25"),
        (123456789012345680.0, "123,456,789,012,345,680"),
        (100.0, "100"),
        (-0.0, "0"),
        (-37.63, "-37.63"),
        (5e-324, "5e-324"),
        (1e300, "1e+300"),
        (float("nan"), "nan"),
        (1234567, "1,234,567"),
        (0, "0"),
    ],
)
def test_a_number_has_every_digit_that_means_something(value: float | None, text: str) -> None:
    assert number(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_as_the_same_double(value: float) -> None:
    back = float(number(value).replace(",", ""))
    assert struct.pack("d", back + 0.0) == struct.pack("d", value + 0.0)
    assert value == 0 or number(value) != "0"


def grid() -> Grid:
    reason = "high is below close in 3 of 252 rows; " * 3
    made = table(
        "id", "symbol", "rows", "arrived", "close", "reason",
        left=["symbol"], folded=["reason"], keys=["id", "symbol", "reason"],
    )  # fmt: skip
    made.add_row("1234567", "BRK.B", number(1234567), "2024-01-31 14:30Z", number(0.000010000001), reason)
    return made


@pytest.mark.parametrize("width", WIDTHS)
def test_no_value_is_cut_and_the_keys_are_always_there(width: int) -> None:
    file = io.StringIO()
    made = grid()
    omitted = made.print(Console(file=file, width=width, force_terminal=True, color_system=None))
    text = file.getvalue()
    shown = [str(column.header) for column in made.columns]
    assert {"id", "symbol", "reason"} <= set(shown)
    assert [*shown[: len(shown) - 1], *omitted] == ["id", "symbol", "rows", "arrived", "close"]
    values = {"rows": "1,234,567", "arrived": "2024-01-31 14:30Z", "close": "0.000010000001"}
    for name, value in {"id": "1234567", "symbol": "BRK.B", **values}.items():
        assert (value in text) == (name not in omitted)
    assert text.split().count("below") == 3  # of the reason, nothing is missing
    if width >= 60:
        assert max(map(len, text.splitlines())) <= width
    if width == 200:
        assert not omitted


def test_what_was_left_out_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "60", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    show_table(grid())
    assert "Too narrow for arrived, close: widen the terminal, or see all with --json." in capsys.readouterr().err


def test_a_pipe_gets_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(grid())
    shown = capsys.readouterr()
    assert "0.000010000001" in shown.out
    assert "2024-01-31 14:30Z" in shown.out
    assert not shown.err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_gets_only_signs_that_it_can_show(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    stream: Any = io.TextIOWrapper(raw, encoding=encoding)
    monkeypatch.setattr("sys.stdout", stream)
    made = table("symbol", "close", left=["symbol"])
    made.add_row("ÄÖ.DE", number(None))
    show_table(made)
    say("none: –; café \N{SNOWMAN}")  # noqa: RUF001 - as it is shown
    stream.flush()
    text = raw.getvalue().decode(encoding)
    assert "symbol" in text
    if encoding == "utf-8":
        assert "ÄÖ.DE" in text and "–" in text and "─" in text and "\N{SNOWMAN}" in text  # noqa: RUF001, PT018
    else:
        assert "none: -;" in text
        assert r"\u2603" in text
        assert "---" in text  # the line below the header
    if encoding == "latin-1":
        assert "café" in text


@pytest.mark.parametrize("width", range(20, 90))
def test_a_value_of_several_words_is_shown_whole_or_not_at_all(width: int) -> None:
    columns = {"symbol": "SIM / USD", "ts": "2024-06-14 14:30Z", "stale since": "3,270/3,270 100.0%", "open": "88.83"}
    made = table(*columns, keys=["symbol", "open"])
    made.add_row(*columns.values())
    file = io.StringIO()
    omitted = made.print(Console(file=file, width=width, force_terminal=True, color_system=None))
    text = file.getvalue()
    for name, value in columns.items():
        assert (value in text, name in text) == ((False, False) if name in omitted else (True, True))
    assert not {"symbol", "open"} & set(omitted)


@pytest.mark.parametrize(
    ("locale", "shown"),
    [
        ({"LC_ALL": "C"}, "- ..."),
        ({"LANG": "POSIX"}, "- ..."),
        ({"LC_ALL": "C.UTF-8", "LANG": "C"}, "\N{EN DASH} \u2026"),
    ],
    ids=str,
)
def test_the_locale_c_gets_no_signs_beyond_ascii(
    monkeypatch: pytest.MonkeyPatch, locale: dict[str, str], shown: str
) -> None:
    for name in ("LC_ALL", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in locale.items():
        monkeypatch.setenv(name, value)
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    out().print("\N{EN DASH} \u2026")
    stream.flush()
    stream.seek(0)
    assert stream.read().rstrip() == shown


def test_every_table_is_shown_by_what_leaves_out_columns_before_it_cuts_values() -> None:
    root = Path(__file__).parents[3]
    sources = [path for folder in ("chandlery", "pipelines", "assets") for path in (root / folder).rglob("*.py")]
    assert [path.name for path in sources if "out().print(" in path.read_text(encoding="utf-8")] == ["output.py"]

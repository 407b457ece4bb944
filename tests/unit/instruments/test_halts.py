"""Halts as texts and files: what is read, and what is said about what is wrong.

Not here: recording them (``integration/test_session_states``).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from chandlery.errors import UsageError
from chandlery.instruments.halts import Halt, parse_halt, read_halts
from tests.support import utc

HEADER = "symbol,start,end,reason\n"
FIRST = Halt("AAPL", utc("2024-06-03T14:41"), utc("2024-06-03T14:46:30"), "LUDP")


def write(folder: Path, text: str) -> Path:
    file = folder / "halts.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_times_may_be_in_any_zone() -> None:
    assert parse_halt("AAPL", "2024-06-03T14:41:00Z", "2024-06-03T14:46:30+00:00", "LUDP") == FIRST
    assert parse_halt(" AAPL ", "2024-06-03T10:41:00-04:00", "2024-06-03T10:46:30-04:00", " LUDP ") == FIRST


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (("", "2024-06-03T14:41Z", "2024-06-03T14:46Z", "T1"), r"symbol='' is not allowed"),
        (("A", "2024-06-03T14:41Z", "2024-06-03T14:46Z", " "), r"reason='' is not allowed; say why"),
        (("A", "2024-06-03T14:41", "2024-06-03T14:46Z", "T1"), r"start='2024-06-03T14:41' has no time zone"),
        (("A", "2024-06-03T14:41Z", "2024-06-03", "T1"), r"end='2024-06-03' has no time of day with a zone; write"),
        (("A", "2024-06-03T14:41Z", "later than that", "T1"), r"end='later than that' is not a date or time; write"),
        (("A", "2024-06-03T14:41Z", "2024-06-03T14:41Z", "T1"), r"start=2024-06-03T14:41Z is not before end="),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(fields: tuple[str, str, str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_halt(*fields)


def test_a_file_is_read_whatever_the_order_of_its_columns(tmp_path: Path) -> None:
    text = "\N{ZERO WIDTH NO-BREAK SPACE}Reason, symbol,end,start\n"
    text += (
        '"News, pending",AAPL,2024-06-03T15:00Z,2024-06-03T14:00Z\n\nLUDP,AAPL,2024-06-03T14:46:30Z,2024-06-03T14:41Z\n'
    )
    halts = read_halts(write(tmp_path, text))
    assert halts == [Halt("AAPL", utc("2024-06-03T14:00"), utc("2024-06-03T15:00"), "News, pending"), FIRST]


def test_the_same_line_twice_is_one_halt(tmp_path: Path) -> None:
    line = "AAPL,2024-06-03T14:41:00Z,2024-06-03T14:46:30Z,LUDP\n"
    assert read_halts(write(tmp_path, HEADER + line * 2)) == [FIRST]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("symbol,start,end\nA,2024,2025\n", r"columns='symbol,start,end'; allowed: symbol,start,end,reason"),
        ("", r"columns=''; allowed: symbol,start,end,reason"),
        (HEADER + "A,2024-06-03T14:41Z,2024-06-03T14:46Z\n", r"line 2: allowed: 4 fields"),
        (HEADER + "A,2024-06-03T14:41Z,2024-06-03T14:46Z,T1,5\n", r"line 2: allowed: 4 fields"),
        (HEADER + "A,2024-06-03T14:41Z,2024-06-03T14:46Z,T1\nB,now,2024-06-03T14:46Z,T1\n", r"line 3: start='now'"),
        (
            HEADER + "A,2024-06-03T14:41Z,2024-06-03T14:46Z,T1\nA,2024-06-03T10:41-04:00,2024-06-03T14:50Z,T1\n",
            r"line 3: A is halted at the same time in line 2 already",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_halts(write(tmp_path, text))


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"file='.*none.csv' cannot be read: No such file"):
        read_halts(tmp_path / "none.csv")
    file = tmp_path / "binary.csv"
    file.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UsageError, match=r"is not CSV in UTF-8"):
        read_halts(file)

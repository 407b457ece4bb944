"""``calendars.yaml``: what a person enters changes the calendar; a mistake is named with file and line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from chandlery.config.calendars import Calendars, check_changes, load_calendars
from chandlery.core import listing
from chandlery.core.calendar_changes import use_changes
from chandlery.core.calendars import get_calendar
from chandlery.errors import ConfigurationError
from tests.support import utc

CONFIG = Path(__file__).parents[3] / "config"


@pytest.fixture(autouse=True)
def _calendars_as_they_were() -> Iterator[None]:
    yield
    use_changes({})


def load(folder: Path, text: str) -> Calendars:
    path = folder / "calendars.yaml"
    path.write_text(text, encoding="utf-8")
    return load_calendars(path)


def use(folder: Path, text: str) -> None:
    calendars = load(folder, text)
    check_changes(calendars)
    use_changes(calendars.changes)


def hours(name: str, day: str) -> list[str]:
    """Return open, close, and start and end of the break, UTC; nothing where there is no session."""
    calendar, number = get_calendar(name), (date.fromisoformat(day) - date(1970, 1, 1)).days
    return [
        (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(column[at]))).strftime("%m-%d %H:%M")
        for at in (calendar.sessions == number).nonzero()[0]
        for column in (calendar.opens, calendar.closes, calendar.break_starts, calendar.break_ends)
    ]


def test_the_shipped_file_says_nothing() -> None:
    assert load_calendars(CONFIG / "calendars.yaml").changes == {}


def test_no_file_says_nothing(tmp_path: Path) -> None:
    assert load_calendars(tmp_path / "absent.yaml").changes == {}


def test_a_closure_ends_a_session_and_the_version_says_so(tmp_path: Path) -> None:
    before = get_calendar("XNYS")
    edges = listing.session_edges("XNYS", intraday=False)
    use(tmp_path, "calendars: {XNYS: {closures: [2024-03-05]}}")
    after = get_calendar("XNYS")
    assert len(after.sessions) == len(before.sessions) - 1
    assert not after.is_session(before.sessions[before.between(utc("2024-03-05"), utc("2024-03-06"))] * 86_400_000_000)[
        0
    ]
    assert after.version.startswith(f"{before.version} with calendars.yaml ")
    assert len(listing.session_edges("XNYS", intraday=False)) == len(edges) - 1
    use_changes({})
    assert get_calendar("XNYS") is before


@pytest.mark.parametrize(
    ("entry", "name", "day", "expected"),
    [
        pytest.param("2024-03-02", "XNYS", "2024-03-02", ["14:30", "21:00"], id="usual hours"),
        pytest.param("2024-07-06", "XNYS", "2024-07-06", ["13:30", "20:00"], id="summer, and after a half day"),
        pytest.param("{date: 2024-03-04, close: 13:00}", "XNYS", "2024-03-04", ["14:30", "18:00"], id="a half day"),
        pytest.param("{date: 2024-01-07, open: 17:00, close: 16:00}", "CMES", "2024-01-07", ["01-06 23:00", "22:00"]),
        pytest.param("2024-01-07", "24/5", "2024-01-07", ["01-06 22:00", "22:00"], id="a Sunday of currencies"),
    ],
)
def test_a_session_is_added_or_gets_other_hours(
    tmp_path: Path, entry: str, name: str, day: str, expected: list[str]
) -> None:
    use(tmp_path, f"calendars:\n  {name}:\n    sessions:\n      - {entry}\n")
    open_, close, *_ = hours(name, day)
    assert [open_, close] == [text if " " in text else f"{day[5:]} {text}" for text in expected]


def test_a_session_of_tokyo_has_its_break_unless_it_closes_before(tmp_path: Path) -> None:
    use(tmp_path, "calendars: {XTKS: {sessions: [2024-03-02, {date: 2024-03-09, close: 11:30}]}}")
    assert hours("XTKS", "2024-03-02") == ["03-02 00:00", "03-02 06:00", "03-02 02:30", "03-02 03:30"]
    assert hours("XTKS", "2024-03-09") == ["03-09 00:00", "03-09 02:30", "03-09 02:30", "03-09 02:30"]


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (
            "calendars:\n  XNYS:\n    closures: [2024-02-30]\n",
            "calendars.yaml:3: calendars.XNYS.closures[0]: '2024-02-30' is not a date",
        ),
        ("calendars:\n  XNYS:\n    closures: [1960-01-04]\n", "1960-01-04 is before 1980-01-01"),
        (
            "calendars:\n  XNYS:\n    closed: [2024-01-03]\n",
            "calendars.yaml:3: calendars.XNYS.closed: is not a setting",
        ),
        (
            "calendars:\n  XNYS:\n    sessions:\n      - {date: 2024-03-02, open: 9.30}\n",
            "is not a time of day; write 09:30",
        ),
        (
            "calendars:\n  XNYS:\n    closures: [2024-03-05]\n    sessions: [2024-03-05]\n",
            "calendars.yaml:4: calendars.XNYS.sessions[0]: 2024-03-05 is given twice",
        ),
    ],
)
def test_a_mistake_is_named_with_file_line_and_key(tmp_path: Path, text: str, refusal: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    assert refusal in str(caught.value)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (
            "calendars:\n  NYSE:\n    closures: [2024-03-05]\n",
            "calendars.yaml:2: calendars.NYSE: 'NYSE' is not a calendar",
        ),
        (
            "calendars:\n  XNYS:\n    closures:\n      - 2024-03-02\n",
            "calendars.yaml:4: calendars.XNYS.closures[0]: 2024-03-02 is no session of XNYS anyway",
        ),
        (
            "calendars:\n  CMES:\n    sessions:\n      - {date: 2024-01-09, open: 12:00, close: 11:00}\n",
            "the session of 2024-01-09 would open before that of 2024-01-08 closes",
        ),
    ],
)
def test_what_takes_a_calendar_to_find_out_is_named_by_init(tmp_path: Path, text: str, refusal: str) -> None:
    calendars = load(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        check_changes(calendars)
    assert refusal in str(caught.value)

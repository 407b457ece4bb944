"""What a person released stays released: rows that come again, alone or beside others, and what was found of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from chandlery.core.calendars import get_calendar
from tests.integration.test_cli import Run, after_init, line_of, ready, write_days  # noqa: F401 - fixtures
from tests.support import utc

_SPAN = get_calendar("XNYS").between(utc("2024-01-01"), utc("2025-01-01"))
DAYS = [str(date(1970, 1, 1) + timedelta(int(day))) for day in get_calendar("XNYS").sessions[_SPAN]]
Row = dict[str, str | int | None]


def rows(count: int, *bad: int) -> list[str]:
    """Return so many days, of which those at ``bad`` have their high below the low."""
    return [f"{day},10,{8 if at in bad else 12},9,{11 + at % 3 / 10},100" for at, day in enumerate(DAYS[:count])]


def ingest(run: Run, folder: Path, lines: Sequence[str]) -> list[str]:
    """Ingest these lines as AAA's days; return the counts."""
    done = run("ingest", "--path", str(write_days(folder, "AAA", lines)))
    return line_of(done, "AAA").split()[1:5]


def waiting(run: Run) -> list[tuple[int, int]]:
    """Return number and rows of each entry that waits."""
    return [(row["quarantine_id"], row["row_count"]) for row in json.loads(run("quarantine", "list", "--json").stdout)]


def stored(run: Run) -> int:
    return len(json.loads(run("query", "AAA", "--json").stdout))


def release(run: Run, *more: str) -> None:
    """Release the only entry that waits."""
    ((number, _),) = waiting(run)
    done = run("quarantine", "release", str(number), "--reason", "seen", *more)
    assert done.exit_code == 0, done.output


def test_rows_that_were_released_stay_so_beside_another_bad_row(ready: Run, tmp_path: Path) -> None:  # noqa: F811
    assert ingest(ready, tmp_path, rows(100, 10, 11))[0] == "inserted=98"
    release(ready)
    assert ingest(ready, tmp_path, rows(100, 10, 11)) == ["inserted=0", "revised=0", "unchanged=100", "quarantined=0"]
    assert ingest(ready, tmp_path, rows(101, 10, 11, 12)) == [
        *("inserted=1", "revised=0", "unchanged=99", "quarantined=1")
    ]
    assert [count for _, count in waiting(ready)] == [1]
    release(ready)
    assert ingest(ready, tmp_path, rows(102, 10, 11, 12))[:1] == ["inserted=1"]
    assert (waiting(ready), stored(ready)) == ([], 102)
    marked = json.loads(ready("query", "AAA", "--with-released", "--json").stdout)
    assert [row["ts"][:10] for row in marked if row["released"]] == DAYS[10:13]


def test_another_value_of_the_same_bar_is_another_row(ready: Run, tmp_path: Path) -> None:  # noqa: F811
    ingest(ready, tmp_path, rows(100, 10, 11))
    release(ready)
    other = [*rows(10), f"{DAYS[10]},10,8.5,9,11,100", *rows(100, 11)[11:]]
    assert ingest(ready, tmp_path, other)[3] == "quarantined=1"
    assert [count for _, count in waiting(ready)] == [1]
    assert stored(ready) == 100
    # The value that was released once is right again without anybody.
    assert ingest(ready, tmp_path, rows(100, 10, 11))[2:] == ["unchanged=100", "quarantined=0"]
    assert waiting(ready) == []


def test_what_was_left_out_of_a_release_stays_out_and_keeps_nothing_back(ready: Run, tmp_path: Path) -> None:  # noqa: F811
    ingest(ready, tmp_path, rows(100, *range(10, 20)))
    release(ready, "--good-rows-only")
    assert ingest(ready, tmp_path, rows(101, *range(10, 20))) == [
        *("inserted=1", "revised=0", "unchanged=90", "quarantined=10")
    ]
    assert (waiting(ready), stored(ready)) == ([], 91)
    assert ingest(ready, tmp_path, rows(102, *range(10, 21)))[:1] == ["inserted=1"]
    assert [count for _, count in waiting(ready)] == [1]
    said = ready("ingest", "--path", str(tmp_path), "--dry-run")
    assert "11 of 102" not in said.output


def missing(run: Run, *more: str) -> list[tuple[str, str]]:
    found = json.loads(run("findings", "list", "--rule", "session_count", *more, "--json").stdout)
    return [(row["state"], row["evidence"]["detail"]) for row in found]


def test_a_release_closes_the_finding_that_its_sessions_have_no_bars(ready: Run, tmp_path: Path) -> None:  # noqa: F811
    bad = rows(100, 10, 11, 12)
    lines = [*bad[:20], *bad[21:]]  # one session is missing indeed
    ingest(ready, tmp_path, lines)
    assert "missing" in missing(ready)[0][1]
    release(ready)
    left = [("open", f"1 closed session has no bars: {DAYS[20]}")]
    assert missing(ready) == left
    ingest(ready, tmp_path, [*lines[:99], *rows(101)[100:]])
    assert missing(ready)[0][0] == "open"
    ingest(ready, tmp_path, bad[20:21])  # another file brings it
    assert missing(ready) == []
    ingest(ready, tmp_path, lines)  # which lacks it again, but the store does not
    assert missing(ready) == []
    assert missing(ready, "--all")[0][0] == "dismissed"


def test_a_release_closes_the_finding_about_days_without_a_session(ready: Run, tmp_path: Path) -> None:  # noqa: F811
    first = date.fromisoformat(DAYS[0])
    saturday = next(day for n in range(7) if (day := first + timedelta(days=n)).weekday() == 5)
    after = sum(day < str(saturday) for day in DAYS)
    lines = rows(50)
    ingest(ready, tmp_path, [*lines[:after], f"{saturday},10,12,9,11,100", *lines[after:]])

    def extra() -> list[tuple[str, str]]:
        found = json.loads(ready("findings", "list", "--all", "--rule", "extra_sessions", "--json").stdout)
        return [(row["state"], row["start"][:10]) for row in found]

    assert extra() == [("open", str(saturday))]
    release(ready)
    assert extra() == [("dismissed", str(saturday))]

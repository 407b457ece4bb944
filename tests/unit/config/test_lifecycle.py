"""``lifecycle.yaml``: what its durations mean on the calendar, and that each mistake is answered with a way out."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.app.configuration import Configuration
from chandlery.config.lifecycle import DEFAULTS, Duration, Lifecycle, Policy, load_lifecycle
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.errors import ChandleryError, ConfigurationError
from tests.support import utc

CONFIG = Path(__file__).parents[3] / "config"
ONE_DAY = timedelta(days=1)

seconds = st.integers(int(utc("2001-01-01").timestamp()), int(utc("2100-01-01").timestamp()))
moments = seconds.map(lambda second: datetime.fromtimestamp(second, UTC))
durations = st.builds(Duration, st.integers(0, 40), st.sampled_from(["d", "w", "mo", "y"]))
limits = st.one_of(st.none(), durations)
policies = st.builds(Policy, st.sampled_from(list(Timeframe)), limits, limits, limits)


def load(folder: Path, text: str) -> Lifecycle:
    path = folder / "lifecycle.yaml"
    path.write_text(text, encoding="utf-8")
    return load_lifecycle(path)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text)
    return str(caught.value).replace(f"{folder}/", "")


def later(moment: datetime, duration: Duration) -> datetime:
    """Return ``moment`` and ``duration``, as pandas counts."""
    unit = {"d": "days", "w": "weeks", "mo": "months", "y": "years"}[duration.unit]
    return (pd.Timestamp(moment) + pd.DateOffset(**{unit: duration.count})).to_pydatetime()


class TestTheShippedFile:
    def test_it_says_what_holds_without_it(self, tmp_path: Path) -> None:
        shipped, without = load_lifecycle(CONFIG / "lifecycle.yaml"), load_lifecycle(tmp_path / "absent.yaml")
        assert shipped.model_dump() == without.model_dump()

    def test_minutes_are_hot_for_a_year_and_days_for_good(self) -> None:
        lifecycle = load_lifecycle(CONFIG / "lifecycle.yaml")
        now = utc("2024-05-20T12:00")
        minutes, days = lifecycle.policy(Timeframe.M1), lifecycle.policy(Timeframe.D1)
        assert minutes.compressed_before(now) == utc("2024-05-13")
        assert minutes.sealed_before(now) == utc("2024-05-01")
        assert minutes.retained_from(now) == utc("2023-05-01")
        assert days.compressed_before(now) == utc("2022-05-20")
        assert days.sealed_before(now) == utc("2024-01-01")
        assert days.retained_from(now) is None
        assert lifecycle.grace == ONE_DAY
        assert lifecycle.continuous_aggregates == ()

    def test_derived_bars_are_neither_archived_nor_dropped(self) -> None:
        lifecycle = load_lifecycle(CONFIG / "lifecycle.yaml")
        for timeframe in set(Timeframe) - set(INGESTED):
            policy = lifecycle.policy(timeframe)
            assert policy.timeframe is timeframe
            assert (policy.archive_after, policy.retain) == (None, None)

    def test_every_timeframe_has_defaults(self) -> None:
        assert list(DEFAULTS) == list(Timeframe)


class TestReading:
    def test_what_is_absent_keeps_its_default(self, tmp_path: Path) -> None:
        lifecycle = load(tmp_path, "1m: {retain: 18mo}\n1h: {compress_after: 3mo}\nlake: {grace: 2w}\n")
        assert lifecycle.policy(Timeframe.M1) == Policy(
            Timeframe.M1, Duration(7, "d"), Duration(3, "d"), Duration(18, "mo")
        )
        assert lifecycle.policy(Timeframe.H1).compress_after == Duration(3, "mo")
        assert lifecycle.policy(Timeframe.M5).compress_after == Duration(30, "d")
        assert lifecycle.grace == timedelta(days=14)

    def test_never_is_never(self, tmp_path: Path) -> None:
        policy = load(tmp_path, "1m: {compress_after: never, archive_after: never, retain: never}").policy(Timeframe.M1)
        now = utc("2024-05-20")
        assert (policy.compressed_before(now), policy.sealed_before(now), policy.retained_from(now)) == (None,) * 3

    def test_aggregates_are_timeframes(self, tmp_path: Path) -> None:
        lifecycle = load(tmp_path, "continuous_aggregates: [5m, 4h]")
        assert lifecycle.continuous_aggregates == (Timeframe.M5, Timeframe.H4)
        assert all(isinstance(timeframe, Timeframe) for timeframe in lifecycle.continuous_aggregates)

    def test_an_installation_reads_it_from_its_configuration(self, tmp_path: Path) -> None:
        defaults = Configuration(tmp_path).lifecycle
        load(tmp_path, "lake: {grace: 5d}")
        assert (defaults.grace, Configuration(tmp_path).lifecycle.grace) == (
            ONE_DAY,
            timedelta(days=5),
        )

    @given(st.text(alphabet="1dmoyw357h :-[]{},#never\n'", max_size=40))
    def test_no_text_at_all_gets_through_but_as_our_own_error(
        self, tmp_path_factory: pytest.TempPathFactory, text: str
    ) -> None:
        with suppress(ChandleryError):
            load(tmp_path_factory.getbasetemp(), text)


AGGREGATES = "5m, 15m, 30m, 1h, 4h"
MISTAKES = [
    (
        "1m:\n  retain: a year",
        (
            "lifecycle.yaml:2: 1m.retain: 'a year' is not a duration; write a number with d, w, mo or y, like 7d, "
            "3mo or 2y, or never"
        ),
    ),
    (
        "1m:\n  retain: 12m",
        "lifecycle.yaml:2: 1m.retain: '12m' is not a duration; write 12mo for months, or never",
    ),
    (
        "1m:\n  compress_after: 7",
        (
            "lifecycle.yaml:2: 1m.compress_after: 7 is not a duration; write a number with d, w, mo or y, like 7d, "
            "3mo or 2y, or never"
        ),
    ),
    (
        "1m:\n  retain:",
        (
            "lifecycle.yaml:2: 1m.retain: None is not a duration; write a number with d, w, mo or y, like 7d, 3mo "
            "or 2y, or never"
        ),
    ),
    (
        "1d:\n  retain: 300y",
        "lifecycle.yaml:2: 1d.retain: '300y' is longer than a century; write less, or never",
    ),
    ("1m:", "lifecycle.yaml:1: 1m: None is not a mapping of settings"),
    (
        "1m: {keep: 1y}",
        "lifecycle.yaml:1: 1m.keep: is not a setting here; allowed: compress_after, archive_after, retain",
    ),
    (
        "2m: {}",
        (
            "lifecycle.yaml:1: 2m: is not a setting here; allowed: 1m, 5m, 15m, 30m, 1h, 4h, 1d, 1w, 1mo, lake, "
            "landing, continuous_aggregates; did you mean '1m'?"
        ),
    ),
    (
        "5m:\n  archive_after: 3d",
        (
            "lifecycle.yaml:2: 5m.archive_after: '3d' is refused: only 1m and 1d are archived and leave the store; "
            "write never or leave it out"
        ),
    ),
    (
        "1w:\n  retain: 10y",
        (
            "lifecycle.yaml:2: 1w.retain: '10y' is refused: only 1m and 1d are archived and leave the store; "
            "write never or leave it out"
        ),
    ),
    (
        "1d:\n  archive_after: never\n  retain: 10y",
        (
            "lifecycle.yaml:3: 1d.retain: '10y' would drop bars that are never archived; write never, or give "
            "archive_after"
        ),
    ),
    (
        "# the default of retain is a year\n1m:\n  archive_after: never",
        (
            "lifecycle.yaml:2: 1m.retain: '1y' would drop bars that are never archived; write never, or give "
            "archive_after"
        ),
    ),
    (
        "1m:\n  compress_after: never\n  retain: 3d",
        (
            "lifecycle.yaml:3: 1m.retain: '3d' is too short: it takes archive_after: 3d and another day until bars "
            "are safe in the lake; write more, or never"
        ),
    ),
    (
        "1m:\n  compress_after: 2y",
        "lifecycle.yaml:2: 1m.compress_after: '2y' is not shorter than retain: 1y; write less, or never",
    ),
    (
        "lake:\n  grace: 1mo",
        "lifecycle.yaml:2: lake.grace: '1mo' is not a number of days or weeks; write one like 1d or 2w",
    ),
    (
        "continuous_aggregates: [1h, 1d]",
        f"lifecycle.yaml:1: continuous_aggregates[1]: '1d' is not known; allowed: {AGGREGATES}",
    ),
    (
        "continuous_aggregates: [1w]",
        f"lifecycle.yaml:1: continuous_aggregates[0]: '1w' is not known; allowed: {AGGREGATES}",
    ),
    (
        "continuous_aggregates:\n  - 1h\n  - 1h",
        "lifecycle.yaml:3: continuous_aggregates[1]: '1h' is given twice",
    ),
    ("# nothing\n", "lifecycle.yaml: the file is empty"),
]


class TestMistakes:
    @pytest.mark.parametrize(("text", "answer"), MISTAKES, ids=[answer for _, answer in MISTAKES])
    def test_a_mistake_is_answered_with_file_line_key_and_a_way_out(
        self, tmp_path: Path, text: str, answer: str
    ) -> None:
        found = refusal(tmp_path, text)
        assert found.partition("; did you mean")[0] == answer.partition("; did you mean")[0]

    def test_every_mistake_of_a_file_is_named_at_once(self, tmp_path: Path) -> None:
        found = refusal(tmp_path, "1m:\n  retain: 1d\n  keep: 1\n5m: {retain: 1y}\nlake: {grace: x}\n")
        assert [line.split(": ")[:2] for line in found.splitlines()] == [
            ["lifecycle.yaml:3", "1m.keep"],
            ["lifecycle.yaml:4", "5m.retain"],
            ["lifecycle.yaml:5", "lake.grace"],
        ]

    @pytest.mark.parametrize(
        ("archive", "retain", "accepted"),
        [
            ("3d", "4d", True),
            ("27d", "1mo", True),
            ("28d", "1mo", False),  # a February is not long enough
            ("1mo", "32d", True),
            ("1mo", "31d", False),
            ("1mo", "2mo", True),
            ("12mo", "1y", False),
            ("364d", "1y", True),
            ("365d", "1y", False),
            ("1y", "367d", True),
            ("1y", "366d", False),
            ("4w", "29d", True),
            ("0d", "1d", True),
            ("0d", "0d", False),
        ],
    )
    def test_retaining_outlasts_archiving_by_a_day_in_any_month_of_any_year(
        self, tmp_path: Path, archive: str, retain: str, accepted: bool
    ) -> None:
        text = f"1d: {{compress_after: never, archive_after: {archive}, retain: {retain}}}"
        if accepted:
            assert load(tmp_path, text).policy(Timeframe.D1).retain == Duration.parse(retain)
        else:
            assert "is too short" in refusal(tmp_path, text)


class TestDurations:
    @pytest.mark.parametrize(
        ("text", "day", "before", "after"),
        [
            ("1mo", "2024-03-31", "2024-02-29", "2024-04-30"),
            ("1mo", "2023-03-31", "2023-02-28", "2023-04-30"),
            ("1y", "2024-02-29", "2023-02-28", "2025-02-28"),
            ("4y", "2024-02-29", "2020-02-29", "2028-02-29"),
            ("14mo", "2024-01-31", "2022-11-30", "2025-03-31"),
            ("2w", "2024-03-01", "2024-02-16", "2024-03-15"),
            ("366d", "2024-12-31", "2023-12-31", "2026-01-01"),
        ],
    )
    def test_months_and_years_are_those_of_the_calendar(self, text: str, day: str, before: str, after: str) -> None:
        duration = Duration.parse(text)
        assert (str(duration.before(date.fromisoformat(day))), str(duration.after(date.fromisoformat(day)))) == (
            before,
            after,
        )

    @given(durations)
    def test_a_duration_reads_as_it_was_written(self, duration: Duration) -> None:
        assert Duration.parse(str(duration)) == duration


class TestPolicies:
    @given(policies, moments, moments)
    def test_nothing_ever_moves_back_as_time_passes(self, policy: Policy, one: datetime, other: datetime) -> None:
        first, last = sorted((one, other))
        for ask in (policy.compressed_before, policy.sealed_before, policy.retained_from):
            early, late = ask(first), ask(last)
            assert (early is None) == (late is None)
            assert early is None or late is None or early <= late

    @given(policies, moments)
    def test_exactly_the_windows_whose_time_has_passed_are_sealed_and_may_leave(
        self, policy: Policy, now: datetime
    ) -> None:
        for duration, last_end in (
            (policy.archive_after, policy.sealed_before(now)),
            (policy.retain, policy.retained_from(now)),
        ):
            if duration is not None and last_end is not None:
                following = policy.timeframe.window_of(last_end)
                assert following.start == last_end
                assert later(last_end, duration) <= now < later(following.end, duration)

    @given(durations, durations, st.sampled_from(INGESTED), moments)
    def test_what_may_leave_was_sealed_a_day_before_at_least(
        self, archive: Duration, retain: Duration, timeframe: Timeframe, now: datetime
    ) -> None:
        rules = {"compress_after": "never", "archive_after": str(archive), "retain": str(retain)}
        with suppress(ValueError):
            policy = Lifecycle.model_validate({timeframe.value: rules}).policy(timeframe)
            sealed, hot = policy.sealed_before(now - ONE_DAY), policy.retained_from(now)
            assert sealed is not None
            assert hot is not None
            assert hot <= sealed

    def test_a_moment_of_another_zone_is_the_same_moment(self) -> None:
        policy = Policy(Timeframe.M1, Duration(0, "d"), Duration(0, "d"), None)
        auckland = datetime(2024, 3, 1, 6, tzinfo=timezone(timedelta(hours=13)))  # still February in UTC
        assert policy.sealed_before(auckland) == utc("2024-02-01")
        assert policy.compressed_before(auckland) == utc("2024-02-29")

    def test_a_window_is_sealed_at_the_very_instant(self) -> None:
        policy = Policy(Timeframe.M1, None, Duration(3, "d"), None)
        instant = utc("2024-03-04")
        assert policy.sealed_before(instant) == utc("2024-03-01")
        assert policy.sealed_before(instant - timedelta(microseconds=1)) == utc("2024-02-01")

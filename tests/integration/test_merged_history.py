"""What two registrations had is there after they were made one: every value ever believed, and what people entered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from chandlery.coverage.halts import record_halts
from chandlery.instruments.aliases import resolve
from chandlery.instruments.halts import Halt, list_halts
from chandlery.ops.registrations.belongings import read_belongings
from chandlery.ops.registrations.merge import merge
from chandlery.ops.registrations.rename import rename
from chandlery.reading.revisions import read_revisions
from chandlery.tiers.warehouse import Warehouse
from tests.integration.test_registrations import (  # noqa: F401 - fixtures
    AFTER,
    BEFORE,
    D1,
    EVER,
    W1,
    alias,
    config,
    days,
    derive,
    ids,
    register,
    send_away,
    sync_instruments,
    tiered,
)
from tests.support import Bar, get, put, utc

WEEK = utc("2022-06-06")


def closes(warehouse: Warehouse, symbol: str, as_of: datetime | None = None) -> list[float]:
    return get(warehouse, W1, {symbol: ids(warehouse)[symbol]}, as_of=as_of)["close"].to_pylist()


def merged(warehouse: Warehouse, giver: str = "FB", receiver: str = "META") -> None:
    with warehouse.connection() as connection:
        merge(connection, warehouse, giver, receiver, utc("2022-06-09").date())


class TestBars:
    @pytest.mark.every_edition
    def test_a_week_of_both_keeps_what_each_believed_in_the_store_and_in_the_lake(self, tiered: Warehouse) -> None:  # noqa: F811
        register(tiered, "FB", "META")
        put(tiered, D1, days("FB", BEFORE), now=utc("2022-07-05"))
        put(tiered, D1, days("META", AFTER, close=12.0), now=utc("2022-07-05"))
        derive(tiered)  # both weeks are known at the same time
        put(tiered, D1, days("FB", BEFORE[-1:], close=10.5))
        derive(tiered)
        weeks = [get(tiered, W1, {symbol: ids(tiered)[symbol]}) for symbol in ("FB", "META")]
        known = max(stamp for each in weeks for stamp in each["known_at"].to_pylist())
        before = closes(tiered, "META", known)
        merged(tiered)
        derive(tiered)
        number = ids(tiered)["META"]
        for _ in range(2):
            assert closes(tiered, "META", known) == [11.0, *before]  # FB's week of May, and META's of June and July
            revisions = read_revisions(tiered, number, W1, WEEK, WEEK + timedelta(days=1)).to_pylist()
            assert {row["close"] for row in revisions} == {11.0, 10.5, 12.0}
            assert [row["superseded_at"] for row in revisions[:-1]] == [row["known_at"] for row in revisions[1:]]
            assert closes(tiered, "META") == [11.0, 12.0, 12.0]
            send_away(tiered)

    #: When a close of the one week was learned, by instrument: every order in which two may know it.
    @pytest.mark.parametrize(
        "learned",
        [
            [("FB", 1), ("META", 2)],
            [("META", 1), ("FB", 2)],
            [("FB", 1), ("FB", 2), ("META", 3), ("META", 4)],
            [("META", 1), ("FB", 2), ("META", 3), ("FB", 4)],
            [("META", 1), ("FB", 1), ("FB", 2), ("META", 2), ("FB", 3)],
        ],
    )
    def test_as_of_any_time_before_the_bar_is_the_receivers_or_else_the_givers(
        self,
        warehouse: Warehouse,
        learned: Sequence[tuple[str, int]],
    ) -> None:
        register(warehouse, "FB", "META")
        for symbol, day in learned:
            close = 11.0 + day / 10 + (symbol == "FB") / 100
            put(warehouse, W1, [Bar(symbol, WEEK, close=close, high=15.0)], now=utc(f"2024-01-0{day}"))
        moments = [utc(f"2024-01-0{day}T12:00") for day in range(1, 6)]
        believed = {at: closes(warehouse, "META", at) or closes(warehouse, "FB", at) for at in moments}
        values = {11.0 + day / 10 + (symbol == "FB") / 100 for symbol, day in learned}
        present = closes(warehouse, "META")
        merged(warehouse)
        assert {at: closes(warehouse, "META", at) for at in moments} == believed
        assert closes(warehouse, "META") == present
        found = read_revisions(warehouse, ids(warehouse)["META"], W1, *EVER).to_pylist()
        assert {row["close"] for row in found} == values
        assert all(one["superseded_at"] <= other["known_at"] for one, other in pairwise(found))
        for row in found:
            assert closes(warehouse, "META", row["known_at"]) == [row["close"]]


class TestWhatHangsOnThem:
    def test_an_answer_for_the_one_says_nothing_of_the_days_of_the_other(self, warehouse: Warehouse) -> None:
        register(warehouse, "FB", "META")
        put(warehouse, D1, [*days("FB", BEFORE), *days("META", AFTER)])
        asked = "{[2022-05-31,2023-01-01)}", "{[2022-06-09,2022-07-02)}"
        with warehouse.connection() as connection:
            for symbol, sessions in zip(("FB", "META"), asked, strict=True):
                connection.execute(
                    "INSERT INTO ops.requested VALUES (%(id)s, '1d', %(days)s, %(days)s, 'XNYS')",
                    {"id": ids(warehouse)[symbol], "days": sessions},
                )
            merge(connection, warehouse, "FB", "META", utc("2022-06-09").date())
            found = connection.execute("SELECT sessions::text, final::text FROM ops.requested").fetchall()
        assert found == [("{[2022-05-31,2022-07-02)}",) * 2]

    def test_findings_of_one_rule_and_window_keep_what_a_person_decided(self, warehouse: Warehouse) -> None:
        register(warehouse, "FB", "META")
        with warehouse.connection() as connection:
            for symbol, rule, state in (
                ("FB", "a", "dismissed"), ("META", "a", "open"), ("FB", "b", "open"), ("META", "b", "confirmed"),
            ):  # fmt: skip
                closed = None if state == "open" else f"by {symbol}"
                connection.execute(
                    "INSERT INTO ops.finding (instrument_id, timeframe, rule, scope, spans, evidence, state, closed_at,"
                    " closed_by, reason) VALUES (%s, '1d', %s, '2022', '{[2022-06-01,2022-06-02)}', '{\"n\": 1}', %s,"
                    " CASE WHEN %s::text IS NULL THEN NULL ELSE now() END, %s, %s)",
                    (ids(warehouse)[symbol], rule, state, closed, closed, closed and "because"),
                )
            merge(connection, warehouse, "FB", "META")
            found = connection.execute(
                "SELECT rule, scope, state, closed_by, evidence FROM ops.finding ORDER BY rule, scope"
            ).fetchall()
        assert [row[:4] for row in found] == [
            ("a", "2022", "open", None), ("a", "2022 of FB", "dismissed", "by FB"), ("b", "2022", "open", None),
        ]  # fmt: skip
        assert found[2][4]["of FB"] == {"n": 1}
        assert found[2][4]["closed before"]["by"] == "by META"

    @pytest.mark.parametrize(
        ("released", "waits"), [([], [False, True]), (["FB"], [False, False]), (["META"], [False, False])]
    )
    def test_the_same_rejected_rows_of_both_stay_and_a_release_is_kept(
        self, warehouse: Warehouse, released: list[str], waits: list[bool]
    ) -> None:
        register(warehouse, "FB", "META")
        with warehouse.connection() as connection:
            for symbol in ("FB", "META"):
                reason = "checked" if symbol in released else None
                connection.execute(
                    "INSERT INTO ops.quarantine (instrument_id, timeframe, window_key, kind, provider, reason, checks,"
                    " row_count, digest, bars, sessions, released_at, release_reason) VALUES (%s, '1d', '2022', 'rows',"
                    " 'files', 'bad', '[]', 1, 'same', '', '{[2022-06-01,2022-06-02)}',"
                    " CASE WHEN %s::text IS NULL THEN NULL ELSE now() END, %s)",
                    (ids(warehouse)[symbol], reason, reason),
                )
            merge(connection, warehouse, "FB", "META")
            found = connection.execute(
                "SELECT released_at IS NULL AND NOT sessions <@ replaced, release_reason FROM ops.quarantine ORDER BY 1"
            ).fetchall()
            (true,) = connection.execute("SELECT release_reason FROM ops.quarantine WHERE digest = 'same'").fetchall()
        assert [row[0] for row in found] == waits
        assert sorted(row[1] or "" for row in found) == ["", "checked" if released else ""]
        assert true[0] == ("checked" if released else None)  # the same rows again are that entry

    def test_halts_from_one_time_on_are_one_with_both_reasons(self, warehouse: Warehouse) -> None:
        register(warehouse, "FB", "META")
        start = utc("2022-06-08T15:00")
        with warehouse.connection() as connection:
            for symbol, minutes, reason in (("FB", 30, "T1"), ("META", 10, "LUDP")):
                record_halts(connection, [Halt(symbol, start, start + timedelta(minutes=minutes), reason)])
            merge(connection, warehouse, "FB", "META")
            assert list_halts(connection) == [Halt("META", start, start + timedelta(minutes=30), "LUDP; T1")]

    def test_aliases_of_one_that_gives_way_to_a_rename_are_kept(self, warehouse: Warehouse) -> None:
        with warehouse.connection() as connection:
            sync_instruments(connection, [config("FB"), config("META", alias("FACEBOOK"))])
            rename(connection, warehouse, "FB", "META")
            assert resolve(connection, "FACEBOOK", *EVER).symbol == "META"

    def test_aliases_that_go_with_a_removed_one_are_said(self, warehouse: Warehouse) -> None:
        with warehouse.connection() as connection:
            sync_instruments(connection, [config("META", alias("FACEBOOK"))])
            assert read_belongings(connection, resolve(connection, "META", *EVER)).lost == ["1 other name"]

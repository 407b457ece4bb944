"""Who is registered under which symbol: renaming, merging and removing, with everything that hangs on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from chandlery.app.orchestrator import Listener, RunRecord
from chandlery.config.universe import AliasConfig, InstrumentConfig
from chandlery.core.timeframe import Timeframe
from chandlery.core.windows import EVER
from chandlery.errors import UsageError
from chandlery.ingest.landing import Landing
from chandlery.ingest.plan import IngestPlan
from chandlery.instruments.aliases import resolve
from chandlery.instruments.registry import load_instruments, sync_instruments
from chandlery.lake.store import Lake
from chandlery.ops.registrations.merge import merge
from chandlery.ops.registrations.remove import removable, remove
from chandlery.ops.registrations.rename import rename
from chandlery.ops.registrations.universe import follow_universe
from chandlery.providers.base import BarReply, BarRequest
from chandlery.reading.revisions import read_revisions
from chandlery.rollups.refresh import catch_up
from chandlery.rollups.stale import count_stale
from chandlery.tiers.archive import archive, find_due
from chandlery.tiers.retention import apply_retention
from chandlery.tiers.warehouse import Warehouse
from tests.integration.test_cli import (  # noqa: F401 - fixtures
    GOOD,
    BrokenOrchestrator,
    InMemoryOrchestrator,
    Run,
    after_init,
    line_of,
    ready,
    write_days,
)
from tests.support import Bar, every_row, get, put, table, utc

M1, D1, W1, MO1 = Timeframe.M1, Timeframe.D1, Timeframe.W1, Timeframe.MO1
#: The last days under one symbol, and the first under another, in one week and one month.
BEFORE, AFTER = ("2022-05-31", "2022-06-07", "2022-06-08"), ("2022-06-09", "2022-06-10", "2022-07-01")


def config(symbol: str, *aliases: AliasConfig) -> InstrumentConfig:
    return InstrumentConfig(symbol=symbol, calendar="XNYS", provider="simulated", aliases=aliases)


def alias(ticker: str, until: str | None = None) -> AliasConfig:
    return AliasConfig.model_validate({"ticker": ticker, "until": until})


@pytest.fixture
def tiered(warehouse: Warehouse, tmp_path: Path) -> Warehouse:
    """An empty warehouse with a lake."""
    return Warehouse(warehouse.database, Lake(tmp_path / "lake"))


def register(warehouse: Warehouse, *symbols: str) -> None:
    with warehouse.connection() as connection:
        sync_instruments(connection, map(config, symbols))


def ids(warehouse: Warehouse) -> dict[str, int]:
    with warehouse.connection() as connection:
        return {symbol: each.instrument_id for symbol, each in load_instruments(connection).items()}


def derive(warehouse: Warehouse) -> None:
    with warehouse.connection() as connection:
        instruments = list(load_instruments(connection).values())
    for base in (D1, M1):
        list(catch_up(warehouse, base, instruments, *EVER))


def send_away(warehouse: Warehouse) -> None:
    """Archive every window, and let it leave the store."""
    for timeframe in (M1, D1):
        with warehouse.connection() as connection:
            due = find_due(connection, timeframe, utc("2024-01-01"))
        list(archive(warehouse, due))
        assert apply_retention(warehouse, timeframe, utc("2024-01-01"), now=utc("2025-06-15")).refused == []


def labels(warehouse: Warehouse, symbol: str, timeframe: Timeframe = D1) -> list[str]:
    bars = get(warehouse, timeframe, {symbol: ids(warehouse)[symbol]}).to_pylist()
    return [f"{bar['ts']:%Y-%m-%d}" for bar in bars]


def days(symbol: str, labels: Sequence[str], close: float = 11.0) -> list[Bar]:
    return [Bar(symbol, utc(day), close=close) for day in labels]


def minutes(symbol: str, day: str) -> list[Bar]:
    return [Bar(symbol, utc(f"{day}T15:00") + timedelta(minutes=n)) for n in range(3)]


class TestRename:
    @pytest.mark.every_edition
    def test_history_stays_and_the_former_symbol_finds_it_wherever_the_bars_are(self, tiered: Warehouse) -> None:
        register(tiered, "FB", "AAA")
        put(tiered, D1, [*days("FB", BEFORE), *days("AAA", BEFORE)], now=utc("2022-07-01"))
        put(tiered, D1, days("FB", BEFORE[:1], close=10.5), now=utc("2022-07-02"))
        put(tiered, M1, minutes("FB", "2022-06-08"), now=utc("2022-07-01"))
        derive(tiered)
        before = {timeframe: get(tiered, timeframe, ids(tiered)).drop_columns("symbol") for timeframe in Timeframe}
        send_away(tiered)
        number = ids(tiered)["FB"]
        with tiered.connection() as connection:
            done = rename(connection, tiered, "FB", "META", utc("2022-06-09").date())
            assert resolve(connection, "FB", utc("2022-06-01"), utc("2022-06-02")).symbol == "META"
        assert (done.instrument_id, done.restored) == (number, 2)
        assert ids(tiered)["META"] == number
        for _ in range(2):  # in the store, and in the lake again
            for timeframe, bars in before.items():
                assert get(tiered, timeframe, ids(tiered)).drop_columns("symbol").equals(bars)
            assert read_revisions(tiered, number, D1, *EVER).num_rows == 2
            send_away(tiered)

    def test_a_file_of_another_instrument_that_gets_the_symbol_is_not_in_its_way(self, tiered: Warehouse) -> None:
        register(tiered, "FB")
        put(tiered, M1, minutes("FB", "2022-06-08"), now=utc("2022-07-01"))
        send_away(tiered)
        with tiered.connection() as connection:
            rename(connection, tiered, "FB", "META", utc("2022-06-09").date())
        register(tiered, "FB")
        put(tiered, M1, minutes("FB", "2022-06-10"), now=utc("2022-07-01"))
        send_away(tiered)
        paths = [str(file) for file in Path(tiered.lake.root).rglob("*.parquet")]
        assert sorted(path.rpartition("bars_1m/")[2] for path in paths) == [
            "symbol=FB/2022-01-01_2023-01-01_v1.parquet",
            "symbol=FB/2022-01-01_2023-01-01_v2.parquet",
            "symbol=META/2022-01-01_2023-01-01_v2.parquet",
        ]
        assert labels(tiered, "META", M1) == ["2022-06-08"] * 3
        assert labels(tiered, "FB", M1) == ["2022-06-10"] * 3

    def test_a_symbol_that_is_taken_is_refused_and_nothing_changes(self, warehouse: Warehouse) -> None:
        register(warehouse, "FB", "META")
        put(warehouse, D1, [*days("FB", BEFORE), *days("META", AFTER)])
        with warehouse.connection() as connection:
            before = every_row(connection)
            with pytest.raises(UsageError, match=r"which has bars; .* `chandlery instruments merge FB META`"):
                rename(connection, warehouse, "FB", "META")
            for symbol, said in (("A B", "symbol"), ("FB", "already")):
                with pytest.raises(UsageError, match=said):
                    rename(connection, warehouse, "FB", symbol)
            assert every_row(connection) == before

    def test_what_landed_under_the_former_symbol_is_the_instruments(self, tiered: Warehouse, tmp_path: Path) -> None:
        register(tiered, "FB", "AAA")
        landing = Landing(tiered.database, Lake(tmp_path / "landing"))
        request = BarRequest(["AAA", "FB"], D1, utc("2022-06-01"), utc("2022-07-01"))
        reply = BarReply(table([*days("AAA", BEFORE[1:]), *days("FB", BEFORE[1:])]))
        with landing.writer() as writer:
            landing.keep(writer, "simulated", request, reply, utc("2022-07-01"))
        with tiered.connection() as connection:
            rename(connection, tiered, "FB", "META")
            known = load_instruments(connection)
        (landed,) = landing.unprocessed("simulated", D1)
        answer = landing.unpack(landed, known)
        assert {partition.symbol for partition in answer.partitions} == {"AAA", "META"}
        assert answer.bars["symbol"].to_pylist() == ["AAA", "AAA", "META", "META"]

    def test_there_and_back_again(self, warehouse: Warehouse) -> None:
        register(warehouse, "FB")
        put(warehouse, D1, days("FB", BEFORE))
        with warehouse.connection() as connection:
            rename(connection, warehouse, "FB", "META")
            rename(connection, warehouse, "META", "FB")
            assert resolve(connection, "META", *EVER).symbol == "FB"
            aliases = connection.execute("SELECT ticker FROM market.symbol_alias").fetchall()
        assert aliases == [("META",)]


class TestUniverse:
    def test_a_new_symbol_with_the_former_one_as_alias_is_a_rename(self, warehouse: Warehouse) -> None:
        with warehouse.connection() as connection:
            follow_universe(connection, warehouse, [config("FB"), config("AAA")])
        put(warehouse, D1, days("FB", BEFORE))
        number = ids(warehouse)["FB"]
        said = [config("META", alias("FB", "2022-06-09")), config("AAA")]
        with warehouse.connection() as connection:
            report = follow_universe(connection, warehouse, said)
            assert (report.renamed, report.added, report.removed, report.questions) == ([("FB", "META")], [], [], [])
            before = every_row(connection)
            again = follow_universe(connection, warehouse, said)
            assert (again.renamed, again.changed) == ([], [])
            assert every_row(connection) == before
        assert ids(warehouse)["META"] == number
        assert labels(warehouse, "META") == list(BEFORE)

    def test_a_new_symbol_in_place_of_another_is_asked_about_and_may_be_said_later(self, warehouse: Warehouse) -> None:
        with warehouse.connection() as connection:
            follow_universe(connection, warehouse, [config("FB")])
        put(warehouse, D1, days("FB", BEFORE))
        with warehouse.connection() as connection:
            report = follow_universe(connection, warehouse, [config("META")])
            (question,) = report.questions
            assert "aliases: [{ticker: FB, until: YYYY-MM-DD}]` at META" in question
            report = follow_universe(connection, warehouse, [config("META", alias("FB", "2022-06-09"))])
            assert report.renamed == [("FB", "META")]
            assert list(load_instruments(connection)) == ["META"]
        assert labels(warehouse, "META") == list(BEFORE)

    def test_what_was_split_before_is_said_until_it_is_merged(self, warehouse: Warehouse) -> None:
        with warehouse.connection() as connection:
            follow_universe(connection, warehouse, [config("FB")])
            follow_universe(connection, warehouse, [config("META")])
            put(warehouse, D1, [*days("FB", BEFORE), *days("META", AFTER)])
            said = [config("META", alias("FB", "2022-06-09"))]
            (question,) = follow_universe(connection, warehouse, said).questions
            assert "`chandlery instruments merge FB META`" in question
            merge(connection, warehouse, "FB", "META", utc("2022-06-09").date())
            assert follow_universe(connection, warehouse, said).questions == []
        assert labels(warehouse, "META") == [*BEFORE, *AFTER]

    def test_another_thing_that_took_the_ticker_over_is_no_rename(self, warehouse: Warehouse) -> None:
        fund = config("FB").model_copy(update={"listed": utc("2022-06-09").date()})
        with warehouse.connection() as connection:
            sync_instruments(connection, [fund])
            report = follow_universe(connection, warehouse, [config("META", alias("FB", "2022-06-09"))])
            assert (report.renamed, report.added) == ([], ["META"])

    def test_a_rename_to_a_former_symbol_of_another_is_said(self, warehouse: Warehouse) -> None:
        with warehouse.connection() as connection:
            follow_universe(connection, warehouse, [config("FUND"), config("META", alias("FB", "2022-06-09"))])
            said = [config("FB", alias("FUND")), config("META", alias("FB", "2022-06-09"))]
            (note,) = follow_universe(connection, warehouse, said).questions
            assert note.startswith("FB was a symbol of META until 2022-06-09: from now on FB names what FUND was")


class TestMerge:
    @pytest.mark.every_edition
    def test_bars_of_both_are_one_history(self, tiered: Warehouse) -> None:
        register(tiered, "FB", "META")
        put(tiered, D1, days("FB", BEFORE), now=utc("2022-07-05"))
        put(tiered, D1, days("FB", BEFORE[:1], close=10.5), now=utc("2022-07-06"))
        put(tiered, D1, days("META", AFTER), now=utc("2022-07-07"))
        put(tiered, M1, [*minutes("FB", "2022-06-08"), *minutes("META", "2022-06-09")], now=utc("2022-07-07"))
        derive(tiered)
        send_away(tiered)
        with tiered.connection() as connection:
            done = merge(connection, tiered, "FB", "META", utc("2022-06-09").date())
            assert done.replaced == 2  # the week and the month of both
            assert (done.given[D1], done.given[M1]) == (3, 3)
            assert count_stale(connection)[D1] > 0
        derive(tiered)
        (number,) = ids(tiered).values()
        for _ in range(2):
            assert labels(tiered, "META") == [*BEFORE, *AFTER]
            assert labels(tiered, "META", M1) == ["2022-06-08"] * 3 + ["2022-06-09"] * 3
            assert labels(tiered, "META", W1) == ["2022-05-31", "2022-06-06", "2022-06-27"]
            assert labels(tiered, "META", MO1) == ["2022-05-02", "2022-06-01", "2022-07-01"]
            week = get(tiered, W1, {"META": number}).to_pylist()[1]
            assert week["volume"] == 400.0
            assert read_revisions(tiered, number, D1, *EVER).num_rows == 2
            then = get(tiered, D1, {"META": number}, as_of=utc("2022-07-05T12:00"))
            assert then["close"].to_pylist() == [11.0, 11.0, 11.0]
            send_away(tiered)

    @pytest.mark.parametrize(
        ("symbol", "into", "said"),
        [
            ("FB", "META", r"1d bars of FB are from 2022-05-31 00:00Z to 2022-06-08 00:00Z.*overlap"),
            ("FB", "FB", "given twice"),
            ("FB", "NOPE", "'NOPE' is not the symbol"),
            ("FB", "BTC/USD", "FB has calendar=XNYS, and BTC/USD calendar=24/7"),
        ],
    )
    def test_what_cannot_be_one_is_refused_and_nothing_changes(
        self, warehouse: Warehouse, symbol: str, into: str, said: str
    ) -> None:
        register(warehouse, "FB", "META")
        with warehouse.connection() as connection:
            coin = InstrumentConfig(symbol="BTC/USD", asset_class="crypto", calendar="24/7", provider="simulated")
            sync_instruments(connection, [coin])
            put(warehouse, D1, [*days("FB", BEFORE), *days("META", ["2022-06-01"])])
            before = every_row(connection)
            with pytest.raises(UsageError, match=said):
                merge(connection, warehouse, symbol, into)
            assert every_row(connection) == before

    def test_one_without_bars_becomes_another_name(self, warehouse: Warehouse) -> None:
        register(warehouse, "FB", "META")
        put(warehouse, D1, days("META", AFTER))
        with warehouse.connection() as connection:
            merge(connection, warehouse, "FB", "META")
            assert resolve(connection, "FB", *EVER).symbol == "META"


class TestRemove:
    def test_only_what_has_no_bars_goes(self, warehouse: Warehouse) -> None:
        register(warehouse, "FB", "META")
        put(warehouse, D1, days("META", AFTER))
        with warehouse.connection() as connection:
            before = every_row(connection)
            with pytest.raises(UsageError, match="META has bars, or had some"):
                removable(connection, "META")
            assert removable(connection, "FB")[1] == []
            with pytest.raises(UsageError, match="changed meanwhile"):
                remove(connection, "FB", ["1 halts"])
            assert every_row(connection) == before
            remove(connection, "FB", [])
            assert list(load_instruments(connection)) == ["META"]
            with pytest.raises(UsageError, match="not the symbol of any instrument"):
                remove(connection, "FB", [])


class TestCommands:
    def test_a_rename_is_confirmed_and_said_and_its_file_is_found(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        folder = str(write_days(tmp_path, "OLDX", GOOD))
        assert ready("ingest", "--path", folder).exit_code == 0
        refused = ready("instruments", "rename", "OLDX", "NEWX")
        assert refused.exit_code == 2
        assert "OLDX becomes NEWX, and OLDX another name of it. Confirm with --yes" in refused.stderr
        done = ready("instruments", "rename", "OLDX", "NEWX", "--yes")
        assert done.stdout == "OLDX is now NEWX; OLDX is another name of it\n"
        again = ready("instruments", "rename", "OLDX", "NEWX", "--yes", "--json")
        assert json.loads(again.stdout)["changed"] is False
        loaded = ready("ingest", "--path", folder)
        assert line_of(loaded, "NEWX").split()[1:4] == ["inserted=0", "revised=0", "unchanged=3"]
        assert "OLDX is a ticker of NEWX" in loaded.stderr
        assert "read from OLDX.csv" in loaded.stderr
        assert json.loads(ready("instruments", "show", "OLDX", "--json").stdout)["symbol"] == "NEWX"
        write_days(tmp_path, "NEWX", GOOD)
        assert "OLDX.csv bears another of its names, and is not read" in ready("ingest", "--path", folder).stderr

    def test_of_two_files_of_one_instrument_the_one_that_was_asked_for_is_read(
        self,
        ready: Run,  # noqa: F811
        tmp_path: Path,
    ) -> None:
        folder = str(write_days(tmp_path, "OLDX", GOOD[:2]))
        assert ready("ingest", "--path", folder).exit_code == 0
        for former, new in (("OLDX", "MIDX"), ("MIDX", "NEWX")):
            assert ready("instruments", "rename", former, new, "--yes").exit_code == 0
        write_days(tmp_path, "MIDX", GOOD[2:])
        neither = ready("ingest", "--path", folder)
        assert neither.exit_code == 1
        for said in (
            "MIDX.csv and OLDX.csv",
            "keep one, or name it: `chandlery ingest MIDX --path",
            "ingest OLDX --path",
        ):
            assert said in neither.stderr, neither.output
        for asked, other, line in (("MIDX", "OLDX", "inserted=1"), ("OLDX", "MIDX", "unchanged=2")):
            for more in (["--dry-run"], []):
                done = ready("ingest", asked, "--path", folder, *more)
                assert (done.exit_code, f"{other}.csv bears another of its names" in done.output) == (0, True), (
                    done.output
                )
            assert line in line_of(done, "NEWX")

    @pytest.mark.parametrize(("asked", "line"), [("BRK.B", "inserted=1"), ("brk-b", "inserted=2")])
    def test_of_two_spellings_the_one_that_was_asked_for_is_read(
        self,
        ready: Run,  # noqa: F811
        tmp_path: Path,
        asked: str,
        line: str,
    ) -> None:
        write_days(tmp_path, "BRK.B", GOOD[:1])
        folder = str(write_days(tmp_path, "brk-b", GOOD[1:]))
        done = ready("ingest", asked, "--path", folder)
        assert line in line_of(done, "total"), done.output
        assert "spells it too, and is not read" in done.stderr
        assert "BRK.B.csv and brk-b.csv; keep one of them" in ready("ingest", "BRK/B", "--path", folder).stderr

    def test_rejected_rows_can_be_released_under_the_new_symbol(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        bad = ["2024-01-02,10,9,9,11,100", *GOOD[1:]]
        folder = str(write_days(tmp_path, "OLDX", bad))
        assert ready("ingest", "--path", folder).exit_code == 3
        assert ready("instruments", "rename", "OLDX", "NEWX", "--yes").exit_code == 0
        (entry,) = json.loads(ready("quarantine", "list", "--json").stdout)
        assert entry["symbol"] == "NEWX"
        released = ready("quarantine", "release", str(entry["quarantine_id"]), "--reason", "it was so")
        assert released.exit_code == 0, released.output
        assert len(json.loads(ready("query", "NEWX", "--json").stdout)) == 3
        loaded = ready("ingest", "--path", folder)
        assert line_of(loaded, "NEWX").split()[1:5] == ["inserted=0", "revised=0", "unchanged=3", "quarantined=0"]

    def test_a_former_symbol_of_another_is_not_taken_without_a_word(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        assert ready("ingest", "--path", str(write_days(tmp_path, "FB", GOOD))).exit_code == 0
        assert ready("instruments", "rename", "FB", "META", "--until", "2022-06-09", "--yes").exit_code == 0
        for file in tmp_path.rglob("FB.csv"):
            file.rename(file.with_name("FOO.csv"))
            assert ready("ingest", "--path", str(file.parents[1])).exit_code == 0
        said = "FB was a symbol of META until 2022-06-09: from now on FB names what FOO was, for days before that too"
        for arguments, code in (([], 2), (["--yes"], 0)):
            done = ready("instruments", "rename", "FOO", "FB", *arguments)
            assert (done.exit_code, said in done.stderr) == (code, True), done.output

    def test_two_are_merged(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        write_days(tmp_path, "OLDX", GOOD[:1])
        assert ready("ingest", "--path", str(write_days(tmp_path, "NEWX", GOOD[1:]))).exit_code == 0
        assert ready("instruments", "merge", "OLDX", "NEWX").exit_code == 2
        done = ready("instruments", "merge", "OLDX", "NEWX", "--yes")
        assert done.stdout.startswith("OLDX is now NEWX; bars that it gave: 1 of 1d"), done.output
        assert len(json.loads(ready("query", "OLDX", "--json").stdout)) == 3
        again = ready("instruments", "merge", "OLDX", "NEWX", "--yes")
        assert (again.exit_code, again.stdout) == (0, "OLDX is another name of NEWX already; nothing changed\n")

    def test_one_is_removed_with_what_hangs_on_it(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        folder = str(write_days(tmp_path, "BADX", ["2024-01-02,10,9,9,11,100"]))
        assert ready("ingest", "--path", folder, "--max-rejected-share", "0").exit_code == 3
        refused = ready("instruments", "remove", "BADX")
        assert refused.exit_code == 2
        assert "with BADX go 1 entry in quarantine, of which 1 waits" in refused.stderr
        removed = ready("instruments", "remove", "BADX", "--yes", "--json")
        assert json.loads(removed.stdout)["symbol"] == "BADX"
        assert "BADX" not in ready("instruments", "list").stdout
        assert ready("instruments", "remove", "BADX", "--yes").exit_code == 2
        assert "universe.yaml" in ready("instruments", "remove", "AAPL", "--yes").stderr
        assert "universe.yaml" in ready("instruments", "rename", "AAPL", "APPL", "--yes").stderr


class InterruptedOrchestrator(InMemoryOrchestrator):
    """Its runs are interrupted before any partition."""

    def ingest(self, plan: IngestPlan, listener: Listener) -> Sequence[RunRecord]:
        raise KeyboardInterrupt


class TestFailedIngest:
    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (["ZZZZ", "--provider", "sample"], 1),  # which does not know it
            (["ZZZZ", "--provider", "nope"], 2),
            (["ZZZZ", "--path", "{folder}", "--tz", "Mars/Base"], 2),
            (["ZZZZ", "--path", "{folder}", "--start", "2024-01-03", "--end", "2024-01-02"], 2),
            (["ZZZZ", "--path", "{folder}/nowhere"], 2),
            (["BADX", "--path", "{folder}"], 1),  # whose file cannot be read
            (["NONE", "--path", "{folder}"], 1),  # that has no file
        ],
    )
    def test_nothing_is_registered(self, ready: Run, tmp_path: Path, arguments: list[str], code: int) -> None:  # noqa: F811
        folder = write_days(tmp_path, "ZZZZ", GOOD)
        write_days(tmp_path, "BADX", ["2024-01-02,ten,12,9,11,100"])
        before = ready("instruments", "list").stdout
        result = ready("ingest", *(each.format(folder=folder) for each in arguments))
        assert result.exit_code == code, result.output
        assert ready("instruments", "list").stdout == before

    def test_nor_by_a_run_that_fails_or_is_interrupted(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        folder = str(write_days(tmp_path, "ZZZZ", GOOD))
        before = ready("instruments", "list").stdout
        result = ready("ingest", "--path", folder, orchestrator=BrokenOrchestrator)
        assert result.exit_code == 1
        assert "ZZZZ: not registered, because nothing came of it" in result.stderr
        assert ready("instruments", "list").stdout == before
        assert ready("ingest", "--path", folder, orchestrator=InterruptedOrchestrator).exit_code == 130
        assert ready("instruments", "list").stdout == before

    def test_what_waits_in_quarantine_belongs_to_an_instrument(self, ready: Run, tmp_path: Path) -> None:  # noqa: F811
        folder = str(write_days(tmp_path, "ZZZZ", ["2024-01-02,10,9,9,11,100"]))
        assert ready("ingest", "--path", folder, "--max-rejected-share", "0").exit_code == 3
        assert "ZZZZ" in ready("instruments", "list").stdout

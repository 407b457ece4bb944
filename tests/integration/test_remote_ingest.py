"""Ingesting from a remote provider: landed before it is judged, never asked for twice, resumed where it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.coverage.session_states import session_states
from chandlery.errors import LakeError, ProviderTransientError
from chandlery.ingest.gate import AuditReport
from chandlery.ingest.landing import Landing
from chandlery.ingest.pipeline import IngestLimits, IngestPipeline
from chandlery.lake.store import Lake
from chandlery.providers.coinbase import CoinbaseProvider
from chandlery.tiers.warehouse import Warehouse
from expectations.gate import BarGate
from expectations.limits import GateLimits
from tests.remote import PAIRS, Remote, day
from tests.servers.coinbase import CoinbaseServer
from tests.servers.market import Market

START, END = day("2024-02-27"), day("2024-03-03")  # five days of two months
LATER = day("2024-06-01")


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.invent(PAIRS, Timeframe.M1, START, END)


@pytest.fixture
def remote(warehouse: Warehouse, market: Market, tmp_path: Path) -> Iterator[Remote]:
    with CoinbaseServer(market, page=350) as server:
        yield Remote.open(warehouse, server, tmp_path)


class DyingGate:
    """Is killed where it should judge."""

    def audit(self, *args: object, **kwargs: object) -> AuditReport:
        raise KeyboardInterrupt


class CountingGate(BarGate):
    """Counts the batches that it audits."""

    batches = 0

    def audit(
        self, bars: pa.Table, partitions: Sequence[Partition], *, now: datetime, decided: pa.Table | None = None
    ) -> AuditReport:
        self.batches += 1
        return super().audit(bars, partitions, now=now, decided=decided)


def states(remote: Remote, symbol: str = "BTC/USD") -> list[str]:
    with remote.warehouse.connection() as connection:
        instrument = remote.instruments()[symbol]
        found = session_states(connection, [instrument], Timeframe.M1, START.date(), END.date(), now=LATER)
    return [str(state) for state in found["state"].to_pylist()]


def test_everything_arrives_and_is_final(remote: Remote, market: Market) -> None:
    outcomes = remote.load(START, END, now=LATER)
    assert {outcome.status for outcome in outcomes} == {"published"}
    assert remote.is_whole(market, START, END)
    assert set(states(remote)) == {"no_trades"}  # a minute in two hundred has no trade
    assert remote.scalar("SELECT count(*) FROM ops.landing WHERE processed_at IS NULL") == 0
    assert remote.scalar("SELECT count(*) FROM ops.landing") == 4  # two symbols, two months


def test_a_batch_is_no_larger_than_it_may_be(remote: Remote, market: Market) -> None:
    gate, instruments = CountingGate(), remote.instruments()
    pipeline = IngestPipeline(
        remote.warehouse, gate, instruments, landing=remote.landing, limits=IngestLimits(rows_per_batch=1), now=LATER
    )
    results = list(pipeline.ingest(remote.provider(), remote.partitions(START, END)))
    assert {result.status for result in results} == {"published"}
    assert gate.batches == remote.scalar("SELECT count(*) FROM ops.landing") == 4
    assert remote.is_whole(market, START, END)


def test_what_is_final_is_not_asked_for_again(remote: Remote, market: Market) -> None:
    remote.load(START, END, now=LATER)
    asked = len(remote.server.requests)
    outcomes = remote.load(START, END, now=LATER)
    assert {outcome.status for outcome in outcomes} == {"complete"}
    assert len(remote.server.requests) == asked
    remote.load(START, END, now=LATER, refresh=True)
    assert len(remote.server.requests) == 2 * asked
    assert remote.is_whole(market, START, END)


def test_only_what_is_not_final_is_asked_for(remote: Remote, market: Market) -> None:
    noon = day("2024-03-01") + timedelta(hours=12)
    remote.load(START, noon, now=noon)
    asked = len(remote.server.requests)
    remote.load(START, END, now=LATER)
    assert remote.is_whole(market, START, END)
    first = min(int(request.query["start"]) for request in remote.server.requests[asked:])
    assert first == day("2024-03-01").timestamp()  # the day that was under way


def test_a_run_that_dies_before_judging_has_not_asked_in_vain(remote: Remote, market: Market) -> None:
    with pytest.raises(KeyboardInterrupt):
        remote.load(START, END, now=LATER, symbols=PAIRS[:1], gate=DyingGate())
    kept = {tuple(row) for row in _landed(remote)}
    assert kept
    before = len(remote.server.requests)
    remote.load(START, END, now=LATER, symbols=PAIRS[:1])
    assert remote.is_whole(market, START, END, PAIRS[:1])
    for request in remote.server.requests[before:]:
        at = datetime.fromtimestamp(int(request.query["start"]), UTC)
        assert not any(start <= at < end for start, end in kept)


def _landed(remote: Remote) -> list[tuple[datetime, datetime]]:
    with remote.warehouse.connection() as connection:
        return connection.execute("SELECT start_ts, end_ts FROM ops.landing").fetchall()


def test_a_file_that_was_not_entered_is_found(remote: Remote, market: Market) -> None:
    with pytest.raises(KeyboardInterrupt):
        remote.load(START, START + timedelta(days=1), now=LATER, symbols=PAIRS[:1], gate=DyingGate())
    with remote.warehouse.connection() as connection:
        connection.execute("DELETE FROM ops.landing")
    asked = len(remote.server.requests)
    outcomes = remote.load(START, START + timedelta(days=1), now=LATER, symbols=PAIRS[:1])
    assert [outcome.status for outcome in outcomes] == ["published"]  # by the run that died, as it were
    assert len(remote.server.requests) == asked
    assert remote.is_whole(market, START, START + timedelta(days=1), PAIRS[:1])


def test_a_damaged_answer_is_named(remote: Remote) -> None:
    with pytest.raises(KeyboardInterrupt):
        remote.load(START, START + timedelta(days=1), now=LATER, symbols=PAIRS[:1], gate=DyingGate())
    (file,) = (remote.folder / "landing").rglob("*.parquet")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(LakeError, match=f"{file.name} is damaged"):
        remote.load(START, START + timedelta(days=1), now=LATER)


@pytest.fixture
def other(remote: Remote) -> Remote:
    """Another installation on the same database, with a landing zone of its own."""
    return replace(remote, landing=Landing(remote.warehouse.database, Lake(remote.folder / "other")))


def test_what_a_dead_run_of_another_home_landed_is_left_to_it(remote: Remote, other: Remote, market: Market) -> None:
    end = START + timedelta(days=1)
    with pytest.raises(KeyboardInterrupt):
        remote.load(START, end, now=LATER, symbols=PAIRS[:1], gate=DyingGate())
    before = len(remote.server.requests)
    assert {each.status for each in other.load(START, end, now=LATER, symbols=PAIRS[:1])} == {"published"}
    assert len(remote.server.requests) > before, "it asks for itself, since it cannot read what the other has"
    assert remote.is_whole(market, START, end, PAIRS[:1])
    assert len(remote.landing.unprocessed("coinbase", Timeframe.M1)) == 1
    list(remote.load(START, end, now=LATER, symbols=PAIRS[:1]))
    assert remote.landing.unprocessed("coinbase", Timeframe.M1) == []
    assert remote.scalar("SELECT count(*) FROM market.bars_revision") == 0


def test_another_home_deletes_none_of_our_answers_and_ours_do_not_come_back(remote: Remote, other: Remote) -> None:
    """A row whose file is elsewhere was marked as deleted, and the file entered anew where it was, as if new."""
    remote.load(START, END, now=LATER)
    files = sorted((remote.folder / "landing").rglob("*.parquet"))
    assert other.landing.sweep(LATER + timedelta(seconds=1)) == 0
    assert sorted((remote.folder / "landing").rglob("*.parquet")) == files
    assert remote.scalar("SELECT count(*) FROM ops.landing WHERE deleted_at IS NULL") == len(files)
    assert remote.landing.unprocessed("coinbase", Timeframe.M1) == []
    assert remote.landing.sweep(LATER + timedelta(seconds=1)) == len(files)


def test_another_home_that_replays_hears_where_the_answers_are(remote: Remote, other: Remote) -> None:
    remote.load(START, END, now=LATER)
    landed = other.landing.find("coinbase", Timeframe.M1)
    with pytest.raises(LakeError, match="landing zone of another installation") as caught:
        list(other.pipeline().replay(landed, CoinbaseProvider.limits))
    assert "CHANDLERY_LANDING" in str(caught.value)
    assert remote.scalar("SELECT count(*) FROM market.bars_revision") == 0


def test_homes_with_the_same_landing_zone_share_its_answers(remote: Remote, market: Market) -> None:
    end = START + timedelta(days=1)
    same = replace(remote, landing=Landing(remote.warehouse.database, Lake(remote.folder / "landing")))
    with pytest.raises(KeyboardInterrupt):
        remote.load(START, end, now=LATER, symbols=PAIRS[:1], gate=DyingGate())
    before = len(remote.server.requests)
    same.load(START, end, now=LATER, symbols=PAIRS[:1])
    assert len(remote.server.requests) == before
    assert remote.is_whole(market, START, end, PAIRS[:1])


def test_a_damaged_id_of_the_landing_zone_is_named(remote: Remote) -> None:
    remote.load(START, START + timedelta(days=1), now=LATER)
    (remote.folder / "landing" / "landing.json").write_text("{")
    fresh = Landing(remote.warehouse.database, Lake(remote.folder / "landing"))
    with pytest.raises(LakeError, match=r"landing\.json is damaged"):
        fresh.sweep(LATER + timedelta(days=1))


def test_a_live_run_is_left_alone(remote: Remote) -> None:
    with remote.landing.writer() as writer:
        with pytest.raises(KeyboardInterrupt):
            remote.load(START, START + timedelta(days=1), now=LATER, symbols=PAIRS[:1], gate=DyingGate())
        with remote.warehouse.connection() as connection:
            connection.execute("UPDATE ops.landing SET writer = %s", (writer,))
        assert not remote.landing.unprocessed("coinbase", Timeframe.M1)
    assert len(remote.landing.unprocessed("coinbase", Timeframe.M1)) == 1


def test_an_outage_is_not_an_empty_market(remote: Remote, market: Market) -> None:
    remote.server.faults.extend(["http_503"] * 1000)
    outcomes = remote.load(START, END, now=LATER)
    assert {outcome.status for outcome in outcomes} == {"failed"}
    assert all(isinstance(outcome.error, ProviderTransientError) for outcome in outcomes)
    assert set(states(remote)) == {"never_fetched"}
    assert remote.scalar("SELECT count(*) FROM ops.landing") == 0
    remote.server.faults.clear()
    remote.load(START, END, now=LATER)
    assert remote.is_whole(market, START, END)


def test_where_the_provider_has_nothing_nothing_is_rejected(remote: Remote, market: Market) -> None:
    outcomes = remote.load(day("2023-12-01"), END, now=LATER, symbols=PAIRS[:1])
    assert {outcome.partition.window.key: outcome.status for outcome in outcomes} == {
        "2023-12": "empty",
        "2024-01": "empty",
        "2024-02": "published",
        "2024-03": "published",
    }
    assert remote.is_whole(market, START, END, PAIRS[:1])
    assert {o.status for o in remote.load(day("2023-12-01"), END, now=LATER, symbols=PAIRS[:1])} == {"complete"}


def test_a_symbol_that_fails_fails_alone(remote: Remote, market: Market, warehouse: Warehouse) -> None:
    del market
    other = Remote.open(warehouse, remote.server, remote.folder, [*PAIRS, "NOSUCH/USD"])
    outcomes = other.load(START, END, now=LATER, symbols=[*PAIRS, "NOSUCH/USD"])
    assert {o.partition.symbol for o in outcomes if o.status == "failed"} == {"NOSUCH/USD"}
    assert {o.partition.symbol for o in outcomes if o.status == "published"} == set(PAIRS)


def test_a_changed_rule_is_applied_to_what_landed(remote: Remote, market: Market) -> None:
    bars = market.bars["BTC/USD", Timeframe.M1]
    low = bars["low"].copy()
    low[7] = 10 * low[7]
    remote.server.market = Market({("BTC/USD", Timeframe.M1): {**bars, "low": low}})
    strict = BarGate(GateLimits(max_rejected_share=0.0, max_rejected_rows=0))
    outcomes = remote.load(START, END, now=LATER, symbols=PAIRS[:1], gate=strict)
    assert {outcome.partition.window.key: outcome.status for outcome in outcomes} == {
        "2024-02": "rejected",
        "2024-03": "published",
    }
    assert states(remote) == ["quarantined"] * 3 + ["no_trades"] * 2
    asked = len(remote.server.requests)
    landed = remote.landing.find("coinbase", Timeframe.M1)
    outcomes = list(remote.pipeline().replay(landed, CoinbaseProvider.limits))
    assert {outcome.status for outcome in outcomes} == {"published"}
    assert remote.bars("BTC/USD").num_rows == len(low) - 1
    assert states(remote) == ["quarantined"] + ["no_trades"] * 4  # of the one row that is odd by any rule
    assert remote.scalar("SELECT sum(row_count) FROM ops.quarantine WHERE NOT sessions <@ replaced") == 1
    assert len(remote.server.requests) == asked


def test_replaying_answers_that_overlap_restates_nothing(remote: Remote, market: Market) -> None:
    half = START + timedelta(days=2)
    older = Market(
        {key: {**bars, "volume": bars["volume"] * 2} for key, bars in market.bars.items()}  # type: ignore[operator]
    )
    remote.server.market = older
    remote.load(START, half, now=LATER, symbols=PAIRS[:1])
    remote.server.market = market
    remote.load(START, END, now=LATER + timedelta(days=1), symbols=PAIRS[:1], refresh=True)
    revisions = remote.scalar("SELECT count(*) FROM market.bars_revision")
    assert revisions == len(market.between("BTC/USD", Timeframe.M1, START, half)["ts"])
    landed = remote.landing.find("coinbase", Timeframe.M1)
    list(remote.pipeline().replay(landed, CoinbaseProvider.limits))
    assert remote.scalar("SELECT count(*) FROM market.bars_revision") == revisions
    assert remote.is_whole(market, START, END, PAIRS[:1])


def test_answers_are_kept_for_their_time(remote: Remote) -> None:
    remote.load(START, END, now=LATER)
    assert remote.landing.sweep(LATER) == 0
    assert remote.landing.sweep(LATER + timedelta(seconds=1)) == 4
    assert not list((remote.folder / "landing").rglob("*.parquet"))
    assert not remote.landing.find("coinbase", Timeframe.M1)
    assert remote.scalar("SELECT count(*) FROM ops.landing WHERE deleted_at IS NOT NULL") == 4  # as a record
    assert remote.landing.sweep(LATER + timedelta(seconds=1)) == 0


def test_an_answer_that_was_not_processed_is_kept_however_old_it_is(remote: Remote, market: Market) -> None:
    end = START + timedelta(days=1)
    with pytest.raises(KeyboardInterrupt):
        remote.load(START, end, now=LATER, symbols=PAIRS[:1], gate=DyingGate())
    kept = list((remote.folder / "landing").rglob("*.parquet"))
    assert len(kept) == 1
    assert remote.landing.sweep(LATER + timedelta(days=365)) == 0
    assert list((remote.folder / "landing").rglob("*.parquet")) == kept
    requests = len(remote.server.requests)
    remote.load(START, end, now=LATER, symbols=PAIRS[:1])
    assert len(remote.server.requests) == requests
    assert remote.is_whole(market, START, end, PAIRS[:1])
    assert remote.landing.sweep(LATER + timedelta(days=365)) == 1

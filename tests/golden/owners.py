"""Which room of the library writes which table: the answer that the statements of every room are compared with."""

from __future__ import annotations

#: The tables of each room. Reading is open to all; moving to another database copies every table.
OWNERS = {
    "bars": {
        *(f"market.bars_{name}" for name in ("1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w", "1mo", "revision")),
        *("market.source", "ops.bar_window", "ops.coverage", "ops.publication", "ops.rollup_pending", "ops.tiering"),
    },
    "coverage": {"ops.finalized", "ops.requested", "ops.retry_schedule"},
    "ingest": {"ops.landing", "ops.quarantine", "ops.released_bar"},
    "instruments": {"market.halt", "market.instrument", "market.session", "market.symbol_alias"},
    "lake": {"ops.lake", "ops.manifest"},
    "ops": {"ops.move", "ops.move_part"},
    "quality": {"ops.finding"},
    "providers": {"ops.rate_limit"},
    "rollups": {"ops.aggregate_pending"},
    # Nobody writes corporate actions yet, and the revision is Alembic's.
    "": {"market.corporate_action", "ops.schema_version"},
}

#: Statements that name their table only when they run, as (room, what stands for the name): which tables that may be.
UNNAMED = {
    ("bars", ":bars"): "a table of bars",
    ("bars", "{}"): "a table of bars, or the staging table of a merge",
    ("ops", "{}"): "every table, in the target of a move",
    (
        "database",
        "{}",
    ): "a table of bars: one row that makes TimescaleDB create a chunk, and that is gone again at once",
    ("rollups", ":place"): "the server's own table of a continuous aggregate",
}

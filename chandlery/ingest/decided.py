"""Of which rows a person decided before: those of entries of the quarantine that were released.

Not here: what follows from it when they come again (``expectations.decisions``).
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
import pyarrow as pa

from chandlery.core.partition import Partition
from chandlery.core.timeframe import Timeframe
from chandlery.database.named_queries import query
from chandlery.ingest.gate import DECIDED
from chandlery.ingest.rejected_rows import unpack_rows


def read_decided(connection: psycopg.Connection, timeframe: Timeframe, partitions: Sequence[Partition]) -> pa.Table:
    """Return the rows of which a person decided, of the instruments of ``partitions``, earlier decisions first.

    Args:
        connection: to the market database.
        timeframe: of the bars.
        partitions: whose instruments, under the symbols that they have there.

    Returns:
        Schema ``gate.DECIDED``.
    """
    symbols = {partition.instrument_id: partition.symbol for partition in partitions}
    found = connection.execute(
        query("ingest/decided_rows"), {"timeframe": timeframe.value, "ids": list(symbols)}
    ).fetchall()
    decided = [DECIDED.empty_table()]
    for quarantine_id, owner, good_rows_only, packed in found:
        rows = unpack_rows(packed, symbols[owner])
        released = [not (good_rows_only and reasons) for reasons in rows["reasons"].to_pylist()]
        numbers = pa.array([quarantine_id] * rows.num_rows, pa.int64())
        columns = [*rows.drop_columns("reasons").columns, numbers, pa.array(released, pa.bool_())]
        decided.append(pa.table(columns, names=DECIDED.names).cast(DECIDED))
    return pa.concat_tables(decided).unify_dictionaries()

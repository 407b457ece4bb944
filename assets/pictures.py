"""Pictures of candles in the web UI: a materialization holds the address of its own, drawn when it is looked at.

Drawing takes longer than recording a whole partition, and of most partitions nobody ever looks at the picture. Not
here: who draws it (``pipelines.candles``).
"""

from datetime import UTC, datetime
from urllib.parse import urlencode

import dagster as dg

from chandlery.core.timeframe import Timeframe

#: Address of the pictures, relative to that of whatever page shows them.
CANDLES = "candles.png"


def candles(timeframe: Timeframe, key: str, changed_at: datetime) -> dg.MarkdownMetadataValue:
    """Return the picture of a partition as Markdown.

    Args:
        timeframe: of the bars.
        key: of the partition, ``SYMBOL|WINDOW``.
        changed_at: when the partition had changed last, UTC: the picture shows the bars as they were known then.
    """
    symbol, _, window = key.rpartition("|")
    moment = changed_at.astimezone(UTC).isoformat(timespec="microseconds")
    query = urlencode({"timeframe": timeframe.value, "symbol": symbol, "window": window, "as_of": moment})
    return dg.MetadataValue.md(f"![{symbol} {timeframe.value} {window}]({CANDLES}?{query})")

"""The tags of a run by which it can be searched: what it ingests, of whom.

Whoever launches a run tags it at once, as far as it knows; the run itself tags the rest when it begins. Not here: the
tags that say which partitions a run takes (``pipelines.partitions``).
"""

from collections.abc import Iterable, Sequence

from chandlery.core.timeframe import Timeframe
from chandlery.ingest.result import list_names


def run_tags(timeframe: Timeframe, symbols: Sequence[str], providers: Iterable[str | None]) -> dict[str, str]:
    """Return the tags of a run.

    Args:
        timeframe: of the bars.
        symbols: that it ingests; of many, the first are named.
        providers: names of those that it asks; None for one that is not known.
    """
    named = sorted({name for name in providers if name is not None})
    tags = {
        "chandlery/timeframe": timeframe.value,
        "chandlery/symbols": list_names(symbols),
        "chandlery/provider": list_names(named),
    }
    return {name: tag for name, tag in tags.items() if tag}

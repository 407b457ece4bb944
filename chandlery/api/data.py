"""The Python interface: what is stored, as pandas, polars or Arrow."""

from __future__ import annotations

from chandlery.api.bars import Bars
from chandlery.api.condition import Condition
from chandlery.api.frames import Frames
from chandlery.api.holdings import Holdings
from chandlery.api.inference import Inference
from chandlery.api.joins import Joins
from chandlery.api.latest import Latest
from chandlery.api.plots import Plots
from chandlery.api.records import Records
from chandlery.api.versions import Versions


class DataAPI(Plots, Bars, Frames, Inference, Joins, Latest, Holdings, Records, Condition, Versions):
    """Reads bars. Safe to share between threads and with child processes.

    Threads share a bounded number of connections and wait where all are in use; a child process, forked or spawned,
    opens its own. ``with DataAPI() as api`` closes them at the end of the block.

    Every range is half-open, ``[start, end)``, in UTC: by the bar's start intraday, by the session's date (as 00:00
    UTC) for bars of a day and wider. A moment is an aware ``datetime`` or ``pandas.Timestamp``, a date (midnight UTC:
    a ``date``, or a ``Timestamp`` or ``datetime64`` of a midnight without a zone), or either as ISO 8601 text.

    Args:
        warehouse: where to read; the installation's own by default (see ``Settings``).
    """

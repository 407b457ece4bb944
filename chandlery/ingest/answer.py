"""What came of one request to a provider. Not here: who sends it (``fetch``), and where it is kept (``landing``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from chandlery.core.partition import Partition
from chandlery.errors import ProviderError
from chandlery.providers.base import Held


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """What a provider answered to one request.

    Attributes:
        partitions: what was requested.
        bars: what came (schema ``BARS``).
        failures: why a symbol was not served, by symbol; the others were.
        requested_at: when, UTC.
        landing_id: number of the answer in the landing zone; None where it was not kept.
        path: of its file, below the landing zone's root; None where it was not kept.
        files: by symbol, the file that its bars were read from, where the provider reads a person's files.
        held: by symbol, what these files hold; see ``BarReply``.
    """

    partitions: Sequence[Partition]
    bars: pa.Table
    failures: dict[str, ProviderError]
    requested_at: datetime
    landing_id: int | None = None
    path: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, Held] = field(default_factory=dict)

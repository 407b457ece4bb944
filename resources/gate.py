"""The gate as a Dagster resource: a shell around ``expectations.gate.BarGate``.

Not here: any rule.
"""

import dagster as dg
from pydantic import Field

from chandlery.ingest.gate import Gate
from expectations.gate import BarGate
from expectations.limits import GateLimits


class GateResource(dg.ConfigurableResource[None]):
    """Audits bars before they are published."""

    max_rejected_share: float = Field(
        description="Largest share of bad rows, 0 to 1, with which a partition's good rows are published."
    )

    max_rejected_rows: int = Field(
        default=GateLimits().max_rejected_rows, description="So many rows may be bad whatever their share is."
    )

    def get(self, *, max_rejected_share: float | None = None) -> Gate:
        """Return the gate; ``max_rejected_share`` overrides the resource's."""
        share = self.max_rejected_share if max_rejected_share is None else max_rejected_share
        return BarGate(GateLimits(max_rejected_share=share, max_rejected_rows=self.max_rejected_rows))

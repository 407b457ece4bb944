"""The gate as a Dagster resource: a shell around ``expectations.gate.BarGate``.

Not here: any rule.
"""

import dagster as dg

from chandlery.config.universe import load_universe
from chandlery.ingest.gate import Gate
from chandlery.settings import Settings
from expectations.gate import BarGate
from expectations.limits import GateLimits


class GateResource(dg.ConfigurableResource[None]):
    """Makes the gate with the limits of ``universe.yaml``."""

    def get(self, *, max_rejected_share: float | None = None) -> Gate:
        """Return the gate; ``max_rejected_share`` overrides the configured one."""
        if max_rejected_share is None:
            max_rejected_share = load_universe(Settings().config / "universe.yaml").gate.max_rejected_share
        return BarGate(GateLimits(max_rejected_share=max_rejected_share))

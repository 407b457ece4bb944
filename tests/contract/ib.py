"""Interactive Brokers in the contract suite."""

from __future__ import annotations

from typing import Any

from chandlery.providers.http.caller import RetryPolicy
from tests.contract.vendor import Vendor
from tests.servers.http import VendorServer
from tests.servers.ib import IbServer
from tests.servers.market import Market


class Ib(Vendor):
    """A gateway on TCP, no key; all that goes wrong is an error code, a silence, or a lost connection."""

    kind = "ib"
    source = "ib:split-adjusted"
    page = 390
    # ``http_503`` is a gateway that lost its line (1100); it never advises how long to wait.
    faults = ("rate_limited", "http_503", "drop", "hang", "malformed", "truncated")
    retry = RetryPolicy(first_pause=0.02, identical_call_after=0.02)

    def serve(self, market: Market, **how: Any) -> IbServer:  # noqa: ANN401
        """See ``Vendor``."""
        return IbServer(market, **how)

    def options(self, server: VendorServer) -> dict[str, Any]:
        """See ``Vendor``."""
        return {"port": server.port, "allow_adjusted": True}

"""Yahoo in the contract suite."""

from __future__ import annotations

from typing import Any

from tests.contract.vendor import Vendor
from tests.servers.market import Market
from tests.servers.yahoo import YahooServer


class Yahoo(Vendor):
    """One chart per call, no key."""

    kind = "yahoo"
    values = ("open", "high", "low", "close", "volume")
    source = "yahoo"
    pages = False

    def serve(self, market: Market, **how: Any) -> YahooServer:  # noqa: ANN401 - VendorServer's
        """See ``Vendor``."""
        return YahooServer(market, **how)

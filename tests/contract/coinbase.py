"""Coinbase in the contract suite."""

from __future__ import annotations

from typing import Any

from tests.contract.vendor import Vendor
from tests.servers.coinbase import CoinbaseServer
from tests.servers.market import Market


class Coinbase(Vendor):
    """Pairs, UTC days, no key."""

    kind = "coinbase"
    symbols = ("BTC/USD", "ETH/USD", "SOL/USD")
    timezone = "UTC"
    values = ("open", "high", "low", "close", "volume")
    source = "coinbase"
    page = 350

    def serve(self, market: Market, **how: Any) -> CoinbaseServer:  # noqa: ANN401 - VendorServer's
        """See ``Vendor``."""
        return CoinbaseServer(market, **{"page": 350, **how})

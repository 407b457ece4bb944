"""Alpaca in the contract suite: its stocks and its crypto are two endpoints, two clients and two kinds of day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tests.contract.vendor import Vendor
from tests.servers.alpaca import AlpacaServer
from tests.servers.market import Market


class Alpaca(Vendor):
    """Stocks."""

    kind = "alpaca"
    source = "alpaca:iex"
    keys: ClassVar[Mapping[str, str]] = {"key": "PK7Q9XKEYMATERIAL", "secret": "secret/7Q9X+KEY=MATERIAL"}
    #: A well-formed symbol that there is not is answered like one that did not trade.
    distinguishes_unknown = False

    def serve(self, market: Market, **how: Any) -> AlpacaServer:  # noqa: ANN401 - VendorServer's
        """See ``Vendor``."""
        return AlpacaServer(market, secret=self.keys["secret"], **how)


class AlpacaCrypto(Alpaca):
    """Pairs."""

    symbols = ("BTC/USD", "ETH/USD", "SOL/USD")
    timezone = "UTC"
    source = "alpaca:crypto"

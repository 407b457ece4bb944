"""Polygon in the contract suite: through its client under the old name and under the new one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from chandlery.providers.base import Provider
from tests.contract.vendor import Vendor
from tests.servers.http import VendorServer
from tests.servers.market import Market
from tests.servers.polygon import PolygonServer


class Massive(Vendor):
    """With ``massive`` installed, which is taken first."""

    kind = "polygon"
    source = "polygon"
    keys: ClassVar[Mapping[str, str]] = {"key": "PK-polygon-51XKEYMATERIAL"}
    distinguishes_unknown = False

    def serve(self, market: Market, **how: Any) -> PolygonServer:  # noqa: ANN401 - VendorServer's
        """See ``Vendor``."""
        return PolygonServer(market, **{"page": 50_000, **how})


class Polygon(Massive):
    """Without: ``polygon-api-client`` does it."""

    def connect(self, server: VendorServer, monkeypatch: pytest.MonkeyPatch, **how: Any) -> Provider:  # noqa: ANN401
        """See ``Vendor``."""
        monkeypatch.setitem(sys.modules, "massive", None)
        return super().connect(server, monkeypatch, **how)

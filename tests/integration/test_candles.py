"""The picture of a partition, drawn when somebody looks at it: the bars as they were when they were recorded."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from assets.pictures import candles
from chandlery.app.installation import Installation
from chandlery.core.timeframe import Timeframe
from chandlery.tiers.warehouse import Warehouse
from pipelines.candles import Candles
from tests.pipeline import install, new_database
from tests.support import put, table, utc

SYMBOL = "BTC/USD"
UNIVERSE = [{"symbol": SYMBOL, "calendar": "24/7", "asset_class": "crypto", "provider": "simulated"}]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, server: str) -> Iterator[Installation]:
    folder: Path = tmp_path_factory.mktemp("candles")
    with pytest.MonkeyPatch.context() as patch, new_database(server) as url:
        yield install(folder, url, patch, UNIVERSE)


async def _behind(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("the web server")(scope, receive, send)


def look(warehouse: Warehouse, address: str) -> tuple[int, bytes]:
    """Return status and content of what is answered at ``address``, of a page of an asset."""
    path, _, query = address.partition("?")
    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": f"/assets/{path}",
        "query_string": query.encode(),
        "headers": [],
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Candles(_behind, lambda: warehouse)(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def publish(warehouse: Warehouse, close: float) -> str:
    """Publish two days, the second of this close; return the address of the picture of them as they are now."""
    rows = [
        (SYMBOL, utc(day), price, price, price, price, 1.0, None, None, "test")
        for day, price in (("2023-05-01", 100.0), ("2023-05-02", close))
    ]
    known_at = put(warehouse, Timeframe.D1, table(rows)).known_at  # type: ignore[arg-type]
    found = re.fullmatch(r"!\[BTC/USD 1d 2023\]\((.*)\)", str(candles(Timeframe.D1, f"{SYMBOL}|2023", known_at).value))
    assert found is not None
    return found[1]


def pixels(content: bytes) -> np.ndarray:
    from matplotlib.image import imread

    return np.asarray(imread(BytesIO(content), format="png")[:, :, :3])


def test_a_picture_shows_what_was_known_when_its_partition_was_recorded(installation: Installation) -> None:
    warehouse = installation.warehouse
    first = publish(warehouse, 101.0)
    status, before = look(warehouse, first)
    assert (status, pixels(before).shape) == (200, (250, 450, 3))
    second = publish(warehouse, 250.0)
    assert second != first
    assert np.array_equal(pixels(look(warehouse, first)[1]), pixels(before))
    assert not np.array_equal(pixels(look(warehouse, second)[1]), pixels(before))


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("timeframe=1d", 400, "symbol, window, as_of"),
        ("timeframe=7d&symbol=A&window=2023&as_of=2024-01-01", 400, "1m 5m"),
        ("timeframe=1d&symbol=BTC/USD&window=2023-01&as_of=2024-01-01", 400, "YYYY"),
        ("timeframe=1d&symbol=BTC/USD&window=2023&as_of=x", 400, "as_of"),
        ("timeframe=1d&symbol=NOBODY&window=2023&as_of=2024-01-01", 404, "NOBODY"),
        ("timeframe=1d&symbol=BTC/USD&window=1999&as_of=2024-01-01", 404, "no bars"),
    ],
)
def test_an_address_of_no_picture_is_answered_with_what_is_wrong(
    installation: Installation, query: str, status: int, said: str
) -> None:
    answered, content = look(installation.warehouse, f"candles.png?{query}")
    assert answered == status
    assert said in content.decode()


def test_everything_else_is_left_to_the_web_server(installation: Installation) -> None:
    assert look(installation.warehouse, "candles.png/x") == (200, b"the web server")

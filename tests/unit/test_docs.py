"""What the documentation shows must work."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from chandlery.errors import ProviderNotFoundError
from chandlery.providers.base import BarRequest
from chandlery.schema import BARS
from chandlery.timeframe import Timeframe

DOCS = Path(__file__).parent.parent.parent / "docs"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "ABC.csv").write_text(
        "ts,open,high,low,close,volume\n2024-01-02,10,11,9,10.5,100\n2024-01-03,10.5,12,10,11,\n2024-01-04,11,12,10,11,7\n"
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=tmp_path))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_provider_in_the_documentation_works_as_it_is_printed(url: str) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "providers.md").read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "docs/providers.md", "exec"), names)
    provider = names["factory"]("my-service", options={"url": url}, keys={}, calendars={})  # type: ignore[operator]

    start, end = datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 4, tzinfo=UTC)
    reply = provider.fetch(BarRequest(["ABC", "NONE"], Timeframe.D1, start, end))

    assert reply.bars.schema == BARS
    assert reply.bars["close"].to_pylist() == [10.5, 11.0]
    assert reply.bars["volume"].to_pylist() == [100.0, None]
    assert set(reply.bars["source"].to_pylist()) == {"my-service"}
    assert isinstance(reply.failures["NONE"], ProviderNotFoundError)


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md"), key=str), ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_links_of_the_readme_lead_somewhere() -> None:
    readme = DOCS.parent / "README.md"
    for target in re.findall(r"\]\(([^)#]+)", readme.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (readme.parent / target).exists(), f"README.md links to {target}"

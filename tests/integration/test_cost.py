"""What a request will cost is said before it is made, and a costly one is confirmed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from chandlery.app.installation import Installation
from chandlery.cli.app import app
from chandlery.cli.session import Session
from chandlery.core.timeframe import Timeframe
from chandlery.ingest.cost import Cost
from chandlery.ingest.request import IngestRequest
from tests.pipeline import Workbench, install, open_workbench
from tests.processes import CLI
from tests.remote import day
from tests.servers.coinbase import CoinbaseServer
from tests.servers.market import Market
from tests.support import wait_until

NOW = datetime.now(UTC)
YEAR = (day("2023-01-01"), day("2024-01-01"))


@pytest.fixture
def server() -> Iterator[CoinbaseServer]:
    with CoinbaseServer(Market.invent(["BTC/USD"], Timeframe.M1, *YEAR), page=350) as server:
        yield server


@pytest.fixture
def bench(
    server: CoinbaseServer, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workbench]:
    monkeypatch.setenv("POLYGON_API_KEY", "never_sent_anywhere")
    monkeypatch.setenv("APCA_API_KEY_ID", "never_sent")
    monkeypatch.setenv("APCA_API_SECRET_KEY", "anywhere")
    providers = {
        "coinbase": {"kind": "coinbase", "options": {"url": server.url}, "limits": {"calls_per_minute": 6000}},
        "slow": {"kind": "coinbase", "options": {"url": server.url}, "limits": {"calls_per_minute": 240}},
        "polygon": {
            "kind": "polygon",
            "options": {"url": "http://127.0.0.1:1"},
            "key_env": {"key": "POLYGON_API_KEY"},
        },
        "alpaca": {
            "kind": "alpaca",
            "options": {"url": "http://127.0.0.1:1"},
            "key_env": {"key": "APCA_API_KEY_ID", "secret": "APCA_API_SECRET_KEY"},
        },
    }
    universe = [{"symbol": "OLD", "provider": "files", "calendar": "XNYS"}]
    with open_workbench(install(tmp_path, database_url, monkeypatch, universe, providers)) as bench:
        yield bench


def costs(installation: Installation, request: IngestRequest) -> list[Cost]:
    """Return what a request would cost, and register nothing."""
    heard: list[Cost] = []

    def refuse(found: Sequence[Cost]) -> None:
        heard.extend(found)
        raise typer.Exit

    with pytest.raises(typer.Exit):
        installation.plan_ingest(request, refuse)
    return heard


def test_calls_minutes_and_bars_are_estimated_by_each_providers_limits(bench: Workbench) -> None:
    start, end = YEAR
    (pair,) = costs(bench.installation, IngestRequest(Timeframe.M1, ["BTC/USD"], "coinbase", start=start, end=end))
    assert (pair.calls, pair.bars, pair.symbols) == (1508, 525_600, 1)  # of each part of 20 calls, the last is short
    assert pair.minutes == pytest.approx(1508 * 61 / 6000 / 60, rel=0.001)
    (stock,) = costs(bench.installation, IngestRequest(Timeframe.M1, ["AAPL"], "polygon", start=start, end=end))
    assert (stock.calls, stock.bars) == (12, 250 * 390 - 2 * 180)  # a call a month; two half days
    assert stock.minutes == pytest.approx(12 * 61 / 5 / 60)
    symbols = [f"S{n}" for n in range(150)]
    (days,) = costs(bench.installation, IngestRequest(Timeframe.D1, symbols, "alpaca", start=start, end=end))
    assert (days.calls, days.bars, days.symbols) == (5, 150 * 250, 150)  # 100 symbols in three pages, 50 in two
    assert bench.scalar("SELECT count(*) FROM market.instrument") == 1


def test_without_a_range_a_remote_provider_is_asked_for_two_weeks(bench: Workbench) -> None:
    for timeframe in (Timeframe.M1, Timeframe.D1):
        request = IngestRequest(timeframe, ["BTC/USD"], "coinbase")
        (cost,) = costs(bench.installation, request)
        assert timedelta(days=14) <= NOW - cost.start < timedelta(days=21, hours=1)
        assert cost.end - NOW < timedelta(hours=1)
        assert not cost.is_high
    (span,) = bench.installation.plan_ingest(
        IngestRequest(Timeframe.M1, ["BTC/USD"], "coinbase", end=day("2023-03-01"))
    ).plan.ranges.values()
    assert span == (day("2023-02-13"), day("2023-03-01"))


def test_what_is_final_costs_nothing_and_files_cost_nothing(bench: Workbench, tmp_path: Path) -> None:
    request = IngestRequest(Timeframe.M1, ["BTC/USD"], "coinbase", start=YEAR[0], end=YEAR[1])
    bench.installation.plan_ingest(request)
    with bench.installation.warehouse.connection() as connection:
        connection.execute(
            "INSERT INTO ops.requested (instrument_id, timeframe, sessions, final, calendar)"
            " SELECT instrument_id, '1m', '{[2022-12-31,2023-12-31)}', '{[2022-12-31,2023-12-31)}', calendar"
            " FROM market.instrument WHERE symbol = 'BTC/USD'"
        )
    (cost,) = costs(bench.installation, request)
    assert (cost.bars, cost.calls) == (1440, 5)
    (again,) = costs(bench.installation, IngestRequest(Timeframe.M1, ["BTC/USD"], "coinbase", *_ranged(), refresh=True))
    assert again.bars == 525_600
    mixed = IngestRequest(Timeframe.D1, ["OLD", "BTC/USD"], start=YEAR[0], end=YEAR[1])
    assert [cost.provider for cost in costs(bench.installation, mixed)] == ["coinbase"]  # no matter the other's folder
    (tmp_path / "data" / "bars_1d").mkdir(parents=True)
    files = IngestRequest(Timeframe.D1, ["OLD"], start=YEAR[0], end=YEAR[1])
    assert costs(bench.installation, files) == []


def _ranged() -> tuple[dict[str, object], datetime, datetime]:
    return {}, *YEAR


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), obj=Session())
    return result.exit_code, result.output


COSTLY = ("ingest", "BTC/USD", "--provider", "coinbase", "-t", "1m", "--start", "2023-01-01", "--end", "2024-01-01")


def test_a_costly_request_is_not_made_where_nobody_can_confirm_it(bench: Workbench, server: CoinbaseServer) -> None:
    code, said = run(*COSTLY)
    assert code == 2
    assert "coinbase: 1 symbol, 2023-01-01..2024-01-01: about 1,508 calls, up to 525,600 bars" in said
    assert "--yes" in said
    assert server.requests == []
    assert bench.scalar("SELECT count(*) FROM market.instrument") == 1


def test_a_dry_run_says_the_cost_and_requests_nothing(bench: Workbench, server: CoinbaseServer, tmp_path: Path) -> None:
    code, said = run(*COSTLY, "--dry-run")
    assert (code, said) == (0, "coinbase: 1 symbol, 2023-01-01..2024-01-01: about 1,508 calls, up to 525,600 bars\n")
    polygon = ("ingest", "AAPL", "--provider", "polygon", "-t", "1m", "--start", "2022-01-01", "--dry-run")
    assert "minutes at least" in run(*polygon)[1]
    (tmp_path / "data" / "bars_1d").mkdir(parents=True)
    code, said = run("ingest", "OLD", "--start", "2023-01-01", "--dry-run")
    assert code == 1
    assert "OLD: failed: no file for OLD" in said
    assert "no call to a provider\n" in said
    assert server.requests == []
    assert bench.scalar("SELECT count(*) FROM market.instrument") == 1


# On a terminal -------------------------------------------------------------------------------------------------------

SLOW = ("ingest", "BTC/USD", "--provider", "slow", *COSTLY[4:])
QUESTION = "Request all of this? [y/N]: "
COST = "slow: 1 symbol, 2023-01-01..2024-01-01: about 1,508 calls, about 6 minutes at least, up to 525,600 bars"


READS_KEYS = re.compile("(0|63) 0x0 ")
"""The system call ``read`` (of x86-64, of ARM) of the file 0."""


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self._master = master
        self.said = ""

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def read(self) -> bool:
        """Read what it says next; return False at its end."""
        try:
            self.said += os.read(self._master, 4096).decode().replace("\r\n", "\n")
        except OSError:  # nobody has the other side any more
            return False
        return True

    def read_until(self, text: str) -> None:
        while text not in self.said:
            assert self.read(), self.said

    def wait_for_its_reading(self) -> None:
        """Wait until it sleeps in the reading of what is typed.

        Between the writing of a question and the reading of the answer an interruption is noted, and not acted on
        before the next key: a person presses again.
        """
        calls = Path(f"/proc/{self.process.pid}/syscall")
        wait_until(lambda: READS_KEYS.match(calls.read_text()), "it reads the answer")

    def end(self) -> int:
        """Read all that it says, and return its exit code."""
        while self.read():
            pass
        return self.process.wait(60)


def _sit_at(slave: int) -> None:
    os.login_tty(slave)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as on a terminal; who runs tests in the background ignores it


@contextmanager
def terminal(*command: str) -> Iterator[Terminal]:
    master, slave = os.openpty()
    environment = os.environ | {"TERM": "dumb", "COLUMNS": "200"}
    process = subprocess.Popen(
        [*CLI, *command],
        env=environment,
        pass_fds=[slave],
        preexec_fn=lambda: _sit_at(slave),  # noqa: PLW1509 - nothing of it needs a lock
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)


@pytest.mark.parametrize("answer", ["n\n", "\n"])
def test_on_a_terminal_the_cost_is_shown_and_no_requests_nothing(
    bench: Workbench, server: CoinbaseServer, answer: str
) -> None:
    with terminal(*SLOW) as person:
        person.read_until(QUESTION)
        assert COST in person.said
        person.type(answer)
        assert person.end() == 1
    assert "Nothing was requested." in person.said
    assert server.requests == []
    assert bench.scalar("SELECT count(*) FROM market.instrument") == 1, "nor is the symbol registered"


def test_on_a_terminal_an_interruption_at_the_question_requests_nothing(
    bench: Workbench, server: CoinbaseServer
) -> None:
    with terminal(*SLOW) as person:
        person.read_until(QUESTION)
        person.wait_for_its_reading()
        person.type("\x03")
        assert person.end() in {1, 130}
    assert "Traceback" not in person.said
    assert server.requests == []
    assert bench.scalar("SELECT count(*) FROM market.instrument") == 1


@pytest.mark.parametrize(("options", "answer"), [((), "y\n"), (("--yes",), "")])
def test_on_a_terminal_yes_requests_it_and_can_be_said_beforehand(
    bench: Workbench, server: CoinbaseServer, options: tuple[str, ...], answer: str
) -> None:
    with terminal(*SLOW, *options) as person:
        if answer:
            person.read_until(QUESTION)
            assert server.requests == []
            person.type(answer)
        wait_until(lambda: bool(server.requests), "the provider is called")
        person.process.send_signal(signal.SIGINT)
        assert person.end() == 130
    assert (QUESTION in person.said) is bool(answer)
    # Nothing had come yet, so that nothing is registered.
    assert bench.scalar("SELECT count(*) FROM market.instrument WHERE symbol = 'BTC/USD'") == 0


def test_on_a_terminal_what_costs_little_is_not_asked_about(bench: Workbench, server: CoinbaseServer) -> None:
    little = ("ingest", "BTC/USD", "--provider", "coinbase", "-t", "1m", "--start", "2023-01-01", "--end", "2023-01-02")
    with terminal(*little) as person:
        assert person.end() == 0, person.said
    assert QUESTION not in person.said
    assert server.requests


def test_without_a_terminal_it_says_what_to_do_instead_of_waiting(bench: Workbench, server: CoinbaseServer) -> None:
    done = subprocess.run([*CLI, *SLOW], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: a costly request was not confirmed: {COST}; narrow it with --start, or confirm with --yes\n"
    )
    assert server.requests == []

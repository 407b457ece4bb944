"""The server goes away in the middle of a command: one message and exit code 1, and the next run completes.

A proxy stands for the server: after a message of the client's it drops every connection and accepts no other.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo
from typer.testing import CliRunner, Result

from chandlery.cli import app
from chandlery.cli.session import Session
from tests.editions import get_server, url
from tests.servers.postgres_proxy import Link, Message, PostgresProxy

pytestmark = pytest.mark.slow
CONFIG = Path(__file__).parents[2] / "config"
LOST = "when the server is back, run the same again, which completes it"
DAYS = ("2022-03-01", "2022-03-02", "2022-03-03")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def proxy(home: Path) -> Iterator[PostgresProxy]:
    """An installation with a few days of a symbol, whose server is behind a proxy."""
    with get_server("postgres").new_database() as dsn, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHANDLERY_HOME", str(home / "home"))
        patch.setenv("CHANDLERY_CONFIG", str(CONFIG))
        with PostgresProxy(dsn) as proxy:
            patch.setenv("CHANDLERY_DATABASE_URL", url(proxy.dsn))
            assert run("init").exit_code == 0
            loaded = run(*load(home, 1))
            assert loaded.exit_code == 0, loaded.output
            yield proxy
        name = f"{conninfo.conninfo_to_dict(dsn)['dbname']}_dagster"
        with closing(psycopg.connect(dsn, autocommit=True)) as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # type: ignore[arg-type]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), obj=Session())


def load(home: Path, volume: int) -> list[str]:
    """Return the command that loads a file, which is written."""
    folder = home / "files" / "bars_1d"
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["date,open,high,low,close,volume", *(f"{day},10,12,9,11,{volume}" for day in DAYS)]
    (folder / "AAPL.csv").write_text("\n".join(lines))
    return ["ingest", "AAPL", "--path", str(home / "files")]


def lose_server(proxy: PostgresProxy, after: Callable[[Message], bool]) -> list[Message]:
    """Let the server be gone after the first message for which ``after`` holds; return the list that it comes into."""
    last: list[Message] = []

    def strike(message: Message, _: Link) -> bool:
        if not last and message.side == "client" and after(message):
            last.append(message)
        return bool(last)

    proxy.arm(strike)
    return last


def check_said(result: Result) -> None:
    """See that the command ended with one message and nothing else on standard error that could be one."""
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1, result.output
    said = [line for line in result.stderr.splitlines() if not line.endswith(("s", "s left", "changed"))]
    assert len(said) == 1, result.stderr
    assert said[0].startswith(("error: the database ", "error: run ")), said
    assert said[0].endswith(LOST), said


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["query", "AAPL", "--start", DAYS[0]],
        ["query", "AAPL", "--start", DAYS[0], "--as-of", "2100-01-01"],
        ["query", "AAPL", "--timeframe", "1w", "--limit", "1"],
        ["revisions", "AAPL", "--start", DAYS[0]],
        ["coverage", "AAPL", "--start", DAYS[0], "--end", "2022-04-01"],
        ["coverage", "AAPL", "--day", DAYS[0]],
        ["quarantine", "list"],
        ["halts", "list"],
        ["compress"],
    ],
    ids=" ".join,
)
def test_a_command_that_loses_its_server_after_any_message_says_so_and_works_again(
    proxy: PostgresProxy, arguments: list[str]
) -> None:
    undisturbed = run(*arguments)
    assert undisturbed.exit_code == 0, undisturbed.output
    for number in itertools.count(1):
        last = lose_server(proxy, lambda message, number=number: message.number == number)  # type: ignore[misc]
        result = run(*arguments)
        proxy.disarm()
        if not last:  # it needs no more messages
            break
        if result.exit_code or last[0].kind != b"X":  # it may have been saying goodbye
            check_said(result)
    assert number > 5
    again = run(*arguments)
    assert (again.exit_code, again.stdout) == (0, undisturbed.stdout)


#: A part of a message after which the server is gone while bars are loaded: in the market's database, or in Dagster's.
MOMENTS = {
    "before anything": b"pg_catalog.pg_namespace",
    "Dagster begins a run": b"INSERT INTO runs",
    "Dagster begins a step": b"STEP_START",
    "Dagster's next connection is set up": b"SET statement_timeout = 600000",
    "instruments are read": b"FROM market.instrument",
    "bars are locked": b"pg_advisory_xact_lock(lock, instrument_id)",
    "bars are merged": b"INSERT INTO market.bars_revision",
    "a publication is logged": b"INSERT INTO ops.publication",
    "Dagster notes a partition": b"ASSET_MATERIALIZATION",
    "Dagster ends a run": b"PIPELINE_SUCCESS",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_load_that_loses_its_server_says_so_and_the_next_completes_it(
    proxy: PostgresProxy, home: Path, moment: str
) -> None:
    volume = 100 + list(MOMENTS).index(moment)
    command = load(home, volume)
    last = lose_server(proxy, lambda message: MOMENTS[moment] in message.body)
    result = run(*command)
    proxy.disarm()
    assert last, "the moment never came"
    check_said(result)

    again = run(*command)
    assert again.exit_code == 0, again.output
    for timeframe, expected in (("1d", volume), ("1w", 3 * volume)):
        shown = run("query", "AAPL", "--timeframe", timeframe, "--start", "2022-02-28", "--format", "json")
        assert {bar["volume"] for bar in json.loads(shown.stdout)} == {expected}
    assert run(*command).stdout.splitlines()[-1].split()[1:5] == [
        "inserted=0",
        "revised=0",
        f"unchanged={len(DAYS)}",
        "quarantined=0",
    ]

"""The command line against a real database, provider, gate and orchestrator."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import psycopg
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from psycopg import conninfo
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from chandlery.app.installation import Installation
from chandlery.app.orchestrator import Listener, RunRecord
from chandlery.cli import app
from chandlery.cli.session import Session
from chandlery.database.dsn import market_dsn
from chandlery.ingest.plan import IngestPlan
from chandlery.ops.status import describe_server
from chandlery.report.report import write_report
from chandlery.settings import Settings
from pipelines import demo
from pipelines.orchestrator import DagsterOrchestrator
from tests.interpreter import run_python
from tests.support import open_warehouse

Run = Callable[..., Result]

CONFIG = Path(__file__).parents[2] / "config"


class InMemoryOrchestrator(DagsterOrchestrator):
    """The real one, whose Dagster keeps its records in memory; it serves nothing, but remembers where it should."""

    def __init__(self, installation: Installation) -> None:
        super().__init__(installation, lambda _: dg.DagsterInstance.ephemeral())
        self.served: list[tuple[str, int]] = []

    def serve(self, host: str, port: int, allowed_hosts: Sequence[str] = ()) -> int:
        self.served.append((host, port))
        return 0


class BrokenOrchestrator(InMemoryOrchestrator):
    """Its runs fail before any partition."""

    def ingest(self, plan: IngestPlan, listener: Listener) -> Sequence[RunRecord]:
        listener.planned(1)
        return [RunRecord("7", succeeded=False, error="the disk is full")]


@pytest.fixture(scope="module")
def after_init(server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a database as ``chandlery init`` leaves it, to copy: setting one up for each test would take long."""
    name = "template_after_init"
    parts = conninfo.conninfo_to_dict(server)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHANDLERY_DATABASE_URL", f"postgresql://{parts['user']}@/{name}?host={parts['host']}")
        patch.setenv("CHANDLERY_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("CHANDLERY_CONFIG", str(CONFIG))
        assert CliRunner().invoke(app, ["init"], obj=Session(InMemoryOrchestrator)).exit_code == 0
    return name


@pytest.fixture
def run(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an installation of its own."""
    return _runner(database_url, tmp_path, monkeypatch)


@pytest.fixture
def ready(server: str, after_init: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The same, after ``chandlery init``."""
    parts = conninfo.conninfo_to_dict(server)
    with psycopg.connect(conninfo.make_conninfo(server, dbname="postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE cli TEMPLATE {after_init}")
        yield _runner(f"postgresql://{parts['user']}@/cli?host={parts['host']}", tmp_path, monkeypatch)
        admin.execute("DROP DATABASE cli WITH (FORCE)")


def _runner(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("CHANDLERY_DATABASE_URL", url)
    monkeypatch.setenv("CHANDLERY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CHANDLERY_CONFIG", str(CONFIG))

    def invoke(*arguments: str, orchestrator: type[InMemoryOrchestrator] = InMemoryOrchestrator) -> Result:
        result = CliRunner().invoke(app, list(arguments), obj=Session(orchestrator))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def write_days(folder: Path, symbol: str, rows: Sequence[str]) -> Path:
    """Write bars of days; return the folder to give as --path."""
    target = folder / "bars_1d"
    target.mkdir(parents=True, exist_ok=True)
    text = "\n".join(["date,open,high,low,close,volume", *rows]) + "\n"
    (target / f"{symbol.replace('/', '-')}.csv").write_text(text)
    return folder


GOOD = ["2024-01-02,10,12,9,11,100", "2024-01-03,11,13,10,12,100", "2024-01-04,12,14,11,13,100"]


def line_of(result: Result, name: str) -> str:
    return next(line for line in result.stdout.splitlines() if line.split()[:1] == [name])


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom chandlery.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0, end.code\n"
        "heavy = ('dagster', 'great_expectations', 'exchange_calendars', 'matplotlib', 'plotly', 'pandas', 'polars')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


#: What no command may import that only reads, and what takes a third of a second or more: a calendar is kept, and built
#: once a month.
HEAVY = (
    *("dagster", "great_expectations", "exchange_calendars", "pandas", "polars", "alembic", "sqlalchemy", "matplotlib"),
)
#: Nor what needs no column of bars.
ARROW = ("numpy", "pyarrow")
#: Commands that only read, and what they may not import. ``ZZZ`` has days, of which one was restated.
READING: Mapping[str, tuple[str, ...]] = {
    "query ZZZ": HEAVY,
    "query ZZZ --start 2024-01-03 --as-of 2100-01-01 --json": HEAVY,
    "query ZZZ -t 1w": HEAVY,
    "query ZZZ -o {folder}/bars.csv": HEAVY,
    "query ZZZ --with-state --with-released": HEAVY,
    "query ZZZ --final-only --limit 2": HEAVY,
    "query ZZZ --exclude-suspect": HEAVY,
    "revisions ZZZ": HEAVY,
    "revisions ZZZ --json": HEAVY,
    "why ZZZ 2024-01-03": HEAVY,
    "why ZZZ 2024-01-03 --json": HEAVY,
    "why ZZZ 2024-01-06": HEAVY,
    "why ZZZ 2024-01-02 -t 1w": HEAVY,
    "coverage": HEAVY,
    "coverage ZZZ --json": HEAVY,
    "coverage --day 2024-01-03": HEAVY,
    "coverage --state provider_gap --json": HEAVY,
    "findings list": HEAVY,
    "findings list ZZZ --all --json": HEAVY,
    "instruments list": HEAVY,
    "instruments show ZZZ": HEAVY,
    "quarantine list": HEAVY,
    "halts list": HEAVY,
    "status": (*HEAVY, *ARROW),
    "status --json": (*HEAVY, *ARROW),
}


def test_commands_that_only_read_import_only_what_they_need(ready: Run, tmp_path: Path) -> None:
    folder = write_days(tmp_path / "in", "ZZZ", GOOD)
    ingest = ["ingest", "ZZZ", "--path", str(folder), "--calendar", "XNYS", "--yes"]
    assert ready(*ingest).exit_code == 0
    write_days(tmp_path / "in", "ZZZ", [*GOOD[:2], "2024-01-04,12,14,11,13.5,100"])
    assert ready(*ingest).exit_code == 0
    Path(os.environ["CHANDLERY_HOME"]).mkdir(exist_ok=True)
    imported_by([["query", "ZZZ", "--with-state"]], HEAVY)  # this keeps the calendar
    for names in dict.fromkeys(READING.values()):
        commands = [command.format(folder=tmp_path).split() for command, each in READING.items() if each == names]
        assert imported_by(commands, names) == []
    # Nothing is to be done.
    assert imported_by([ingest], ("dagster", "great_expectations", "polars", "alembic", "sqlalchemy")) == []


def imported_by(commands: Sequence[Sequence[str]], names: Sequence[str]) -> list[str]:
    """Run commands in a process of their own; return which of ``names`` they imported, and the first that did."""
    code = (
        f"import json, sys\nfrom chandlery.cli import app\nfound = {{}}\nfor command in {commands}:\n"
        "    try:\n        app(command)\n    except SystemExit as end:\n        assert not end.code, command\n"
        f"    found |= {{name: command for name in {names} if name in sys.modules and name not in found}}\n"
        "print(json.dumps([f'{name} by {command}' for name, command in found.items()]))"
    )
    found: list[str] = json.loads(run_python(code).stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    "command",
    [
        "init",
        "ingest",
        "query",
        "revisions",
        "coverage",
        "quarantine",
        "archive",
        "compress",
        "prune",
        "restore",
        "move",
        "psql",
        "status",
        "serve",
        "ui",
    ],
)
def test_every_command_explains_itself_with_an_example(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert f"chandlery {command}" in result.stdout


def test_init_says_what_it_set_up_and_changes_nothing_again(run: Run) -> None:
    first = run("init")
    assert first.exit_code == 0
    assert "AAPL, GOOG, IBM, MSFT, META, SIM, SIM/USD" in line_of(first, "added")
    again = run("init")
    assert line_of(again, "added").split() == ["added", "none"]
    assert line_of(again, "changed").split() == ["changed", "none"]


def test_a_command_before_init_says_so(run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANDLERY_DATABASE_URL", database_url.replace("/test_", "/never_made_"))
    result = run("query", "AAPL")
    assert result.exit_code == 1
    assert "chandlery init" in result.stderr
    assert "Traceback" not in result.stderr


def test_ingest_sums_up_each_symbol_and_a_second_time_changes_nothing(ready: Run) -> None:
    command = ("ingest", "AAPL", "IBM", "--start", "2012-01-01", "--end", "2013-01-01")
    first = ready(*command)
    assert first.exit_code == 0
    assert first.stdout.splitlines() == [
        "AAPL   inserted=250 revised=0 unchanged=0 quarantined=0 warnings=0",
        "IBM    inserted=250 revised=0 unchanged=0 quarantined=0 warnings=0",
        "total  inserted=500 revised=0 unchanged=0 quarantined=0 warnings=0",
    ]
    second = ready(*command)
    assert line_of(second, "total") == "total  inserted=0 revised=0 unchanged=500 quarantined=0 warnings=0"


def test_a_former_ticker_is_the_same_instrument(ready: Run) -> None:
    result = ready("ingest", "FB", "META")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "META   inserted=196 revised=0 unchanged=0 quarantined=0 warnings=0"
    assert "FB is a ticker of META" in result.stderr
    shown = ready("query", "FB", "--format", "json", "--start", "2012-05-18", "--end", "2012-05-19")
    assert [row["ts"] for row in json.loads(shown.stdout)] == ["2012-05-18T00:00:00Z"]


def test_a_former_ticker_outside_its_time_is_refused(ready: Run) -> None:
    result = ready("ingest", "FB", "--start", "2023-01-01", "--end", "2024-01-01")
    assert result.exit_code == 2
    assert "it named META from 2012-05-18 until 2022-06-09" in result.stderr


def test_one_command_registers_a_pair_from_a_folder(ready: Run, tmp_path: Path) -> None:
    rows = ["2024-01-05,10,12,9,11,1.5", "2024-01-06,11,13,10,12,2.5", "2024-01-07,12,14,11,13,3"]  # over a weekend
    result = ready("ingest", "BTC/USD", "--path", str(write_days(tmp_path, "BTC/USD", rows)))
    assert result.exit_code == 0
    assert line_of(result, "BTC/USD") == "BTC/USD  inserted=3 revised=0 unchanged=0 quarantined=0 warnings=0"
    assert "registered BTC/USD: crypto, calendar 24/7, provider files" in result.stderr
    # The next time the folder's name for it is understood.
    again = ready("ingest", "--path", str(tmp_path))
    assert line_of(again, "BTC/USD") == "BTC/USD  inserted=0 revised=0 unchanged=3 quarantined=0 warnings=0"


def test_without_symbols_a_folder_is_loaded_whole(ready: Run, tmp_path: Path) -> None:
    write_days(tmp_path, "AAA", GOOD)
    write_days(tmp_path, "VOD.L", GOOD)
    result = ready("ingest", "--path", str(tmp_path))
    assert result.exit_code == 0
    assert line_of(result, "total").split()[1] == "inserted=6"
    assert "registered VOD.L: equity, calendar XLON" in result.stderr


def test_a_guess_says_what_it_does_not_know_and_can_be_corrected(ready: Run, tmp_path: Path) -> None:
    write_days(tmp_path, "ENI.QQ", GOOD)
    unknown = ready("ingest", "ENI.QQ", "--path", str(tmp_path))
    assert unknown.exit_code == 2
    assert "which market '.QQ' is, at the end of ENI.QQ, is not known; say by which calendar" in unknown.stderr
    assert "ENI.QQ" not in ready("coverage", "--json").stdout
    # Everything of it waits in quarantine, so that the calendar may be corrected.
    write_days(tmp_path, "BAD.MI", ["2024-01-02,13,12,15,14,100", "2024-01-03,13,12,15,14,100"])
    wrong = ready("ingest", "BAD.MI", "--path", str(tmp_path), "--calendar", "XNYS")
    assert "registered BAD.MI: equity, calendar XNYS" in wrong.stderr
    write_days(tmp_path, "BAD.MI", GOOD)
    corrected = ready("ingest", "BAD.MI", "--path", str(tmp_path), "--calendar", "XMIL", "--asset-class", "etf")
    assert "registered BAD.MI: etf, calendar XMIL" in corrected.stderr
    refused = ready("ingest", "BAD.MI", "--path", str(tmp_path), "--calendar", "XNYS")
    assert refused.exit_code == 2
    assert "calendar=XNYS, but BAD.MI is registered with calendar=XMIL and has bars" in refused.stderr
    assert "change it with `chandlery instruments set`" in refused.stderr


def test_instruments_are_listed_shown_and_corrected(ready: Run, tmp_path: Path) -> None:
    days = [f"2024-06-{day:02},10,12,9,11,1.5" for day in range(3, 8)]
    write_days(tmp_path, "ENI.MI", days)
    ready("ingest", "ENI.MI", "--path", str(tmp_path), "--calendar", "24/7")
    assert "ENI.MI" in [row["symbol"] for row in json.loads(ready("instruments", "list", "--json").stdout)]
    shown = ready("instruments", "show", "ENI.MI").stdout
    assert "calendar     24/7" in shown
    assert "stored       1d 5 bars from 2024-06-03 to 2024-06-07" in shown
    labels = json.loads(ready("query", "ENI.MI", "-t", "1mo", "--json").stdout)
    assert [row["ts"][:10] for row in labels] == ["2024-06-01"]
    done = ready("instruments", "set", "ENI.MI", "--calendar", "XMIL", "--name", "Eni")
    assert "ENI.MI  calendar: 24/7 is now XMIL" in done.stdout
    assert "what derives from 5 days of 1d will be derived anew" in done.stdout
    ready("ingest", "ENI.MI", "--path", str(tmp_path))
    labels = json.loads(ready("query", "ENI.MI", "-t", "1mo", "--json").stdout)
    assert [row["ts"][:10] for row in labels] == ["2024-06-03"]
    assert "nothing changed" in ready("instruments", "set", "ENI.MI", "--calendar", "XMIL").stdout
    for wrong, said in [
        (["AAPL", "--calendar", "24/7"], "AAPL is described in universe.yaml"),
        (["ENI.MI"], "nothing to set"),
        (["ENI.MI", "--calendar", "NOPE"], "calendar 'NOPE' is not known"),
        (["ENI.MI", "--asset-class", "nope"], "asset_class"),
    ]:
        refused = ready("instruments", "set", *wrong)
        assert (refused.exit_code, said in refused.stderr) == (2, True), refused.stderr


def test_files_that_end_before_the_close_are_final_as_they_are(ready: Run, tmp_path: Path) -> None:
    """Their first session begins at noon, and their last one ends there."""
    folder = tmp_path / "bars_1m"
    folder.mkdir()
    moments = ["2024-01-08T17:00Z", "2024-01-08T17:01Z", "2024-01-09T14:30Z", "2024-01-09T15:00Z"]
    lines = [f"{moment},10,12,9,11,1" for moment in moments]
    (folder / "AAA.csv").write_text("\n".join(["ts,open,high,low,close,volume", *lines]))
    assert ready("ingest", "--path", str(tmp_path), "-t", "1m").exit_code == 0
    shown = ready("query", "AAA", "-t", "1m", "--start", "2024-01-08", "--end", "2024-01-10", "--final-only", "--json")
    assert len(json.loads(shown.stdout)) == 4


def test_what_is_wrong_in_a_folder_fails_alone_and_is_named(ready: Run, tmp_path: Path) -> None:
    folder = write_days(tmp_path, "AAA", GOOD) / "bars_1d"
    write_days(tmp_path, "OLD", ["1700-01-04,10,12,9,11,1.5"])
    write_days(tmp_path, "SOON", ["9999-12-31,10,12,9,11,1.5"])
    write_days(tmp_path, "A B", GOOD)
    os.mkfifo(folder / "PIPE.csv")
    (folder / "FOLDER.csv").mkdir()
    (folder / "LINK.parquet").symlink_to("nowhere")
    (folder / "LOOP.csv.gz").symlink_to("LOOP.csv.gz")
    (folder / "DEVICE.csv").symlink_to("/dev/zero")
    result = ready("ingest", "--path", str(tmp_path))
    assert result.exit_code == 1
    assert line_of(result, "AAA").split()[1] == "inserted=3"
    for said in (
        "OLD: the range begins on 1700-01-04, before history.1d",
        "SOON: its first bar starts on 9999-12-31 00:00Z, which is yet to come",
        "symbol 'A B' has ' ' at position 2",
        f"{folder / 'PIPE.csv'} is a pipe, not a file",
        f"{folder / 'FOLDER.csv'} is a folder, not a file",
        f"{folder / 'LINK.parquet'} is a link that leads nowhere, not a file",
        f"{folder / 'LOOP.csv.gz'} is a link that leads nowhere, not a file",
        f"{folder / 'DEVICE.csv'} is a device, not a file",
    ):
        assert said in result.stderr
    # Who names a symbol is told before anything is loaded.
    named = ready("ingest", "AAA", "OLD", "--path", str(tmp_path))
    assert (named.exit_code, named.stdout) == (2, "")


def test_a_symbol_without_a_file_fails_alone(ready: Run, tmp_path: Path) -> None:
    path = write_days(tmp_path, "AAA", GOOD)
    result = ready("ingest", "AAA", "NOPE", "--path", str(path))
    assert result.exit_code == 1
    assert line_of(result, "AAA").split()[1] == "inserted=3"
    assert "NOPE: failed: no file for NOPE" in result.stderr


def test_a_partition_that_the_gate_rejects_is_named_and_can_be_released(ready: Run, tmp_path: Path) -> None:
    bad = [f"2024-01-{day},13,12,15,14,100" for day in ("05", "08", "09", "10")]  # their high is below their low
    path = write_days(tmp_path, "AAA", [*GOOD, *bad])
    result = ready("ingest", "AAA", "--path", str(path))
    assert result.exit_code == 3
    assert line_of(result, "AAA") == "AAA    inserted=0 revised=0 unchanged=0 quarantined=7 warnings=0"
    number = re.search(r"chandlery quarantine show (\d+)", result.stderr)
    assert number is not None
    assert "AAA 1d 2024: rejected" in result.stderr
    assert "AAA" in ready("quarantine", "list").stdout
    shown = json.loads(ready("quarantine", "show", number[1], "--format", "json").stdout)
    assert [bool(row["reasons"]) for row in shown] == [False, False, False, True, True, True, True]
    listed = ready("quarantine", "show", number[1]).stdout
    assert re.findall(r"^ *(2024-\d\d-\d\d) ", listed, re.MULTILINE)[0] == "2024-01-05"  # what is wrong comes first

    reason = "typing error\x1b[31m"
    released = ready("quarantine", "release", number[1], "--reason", reason, "--good-rows-only")
    assert released.exit_code == 0
    assert "inserted=3 revised=0 unchanged=0" in released.stdout
    assert "derived bars (1w 1mo) are in step: 2 changed" in released.stdout
    assert "Nothing waits" in ready("quarantine", "list").stderr
    why = ready("why", "AAA", "2024-01-02")
    assert why.exit_code == 0
    assert re.search(r"released +\d{4}-\d\d-\d\d .* by .*: typing error", why.stdout)
    for said in (why.stdout, ready("quarantine", "show", number[1]).stdout):
        assert "typing error\\x1b[31m" in said  # a terminal obeys none of it
        assert "\x1b" not in said
    weeks = json.loads(ready("query", "AAA", "--timeframe", "1w", "--format", "json").stdout)
    assert [(row["open"], row["close"], row["volume"]) for row in weeks] == [(10.0, 13.0, 300.0)]

    bars = json.loads(ready("query", "AAA", "--with-released", "--json").stdout)
    assert [bar["released"] for bar in bars] == [False, False, False]  # these broke no rule
    twice = ready("quarantine", "release", number[1], "--reason", "again")
    assert twice.exit_code == 2
    assert "was released on" in twice.stderr


def test_a_query_shows_indicators_on_request(ready: Run, tmp_path: Path) -> None:
    path = write_days(tmp_path, "AAA", GOOD)
    assert ready("ingest", "AAA", "--path", str(path), "--yes").exit_code == 0
    bars = json.loads(ready("query", "AAA", "-i", "sma_2", "--indicator", "RETURN", "--json").stdout)
    closes = [bar["close"] for bar in bars]
    assert [bar["SMA_2"] for bar in bars] == [None, (closes[0] + closes[1]) / 2, (closes[1] + closes[2]) / 2]
    (last,) = json.loads(ready("query", "AAA", "-i", "RETURN", "--limit", "1", "--json").stdout)
    assert last["RETURN_1"] == pytest.approx(closes[2] / closes[1] - 1)
    assert re.search(r"RETURN_1\s*\n", ready("query", "AAA", "-i", "RETURN").stdout)
    wrong = ready("query", "AAA", "-i", "SMAA_2")
    assert wrong.exit_code == 2
    assert "did you mean SMA" in wrong.stderr


def test_a_query_says_which_bars_a_person_released(ready: Run, tmp_path: Path) -> None:
    path = write_days(tmp_path, "AAA", [*GOOD, "2024-01-05,13,12,15,14,100"])  # its high is below its low
    (entry,) = json.loads(ready("ingest", "AAA", "--path", str(path), "--json").stdout)["rejected"]
    assert ready("quarantine", "release", str(entry["quarantine"]), "--reason", "so it was").exit_code == 0
    bars = json.loads(ready("query", "AAA", "--with-released", "--json").stdout)
    assert [bar["released"] for bar in bars] == [False, False, False, True]
    shown = ready("query", "AAA", "--with-released", "--exclude-suspect").stdout.splitlines()
    assert [line.split()[-1] for line in shown if re.match(r" *(ts|2024)", line)] == [
        "released",
        "no",
        "no",
        "no",
        "yes",
    ]
    assert "released" not in json.loads(ready("query", "AAA", "--json").stdout)[0]
    weeks = ready("query", "AAA", "-t", "1w", "--exclude-suspect")
    assert weeks.exit_code == 0
    final = ready("query", "AAA", "-t", "1w", "--exclude-suspect", "--final-only")
    assert final.exit_code == 2
    assert "exclude_suspect=True" in final.stderr


def test_ingest_sums_up_as_json_what_it_did_and_what_went_wrong(ready: Run, tmp_path: Path) -> None:
    write_days(tmp_path, "AAA", GOOD)
    path = str(write_days(tmp_path, "BBB", [*GOOD, "2024-01-05,13,12,15,14,100"]))
    options = ["--path", path, "--calendar", "XNYS", "--json"]
    seen = ready("ingest", "AAA", "BBB", *options, "--dry-run")
    assert seen.exit_code == 3
    previews = json.loads(seen.stdout)
    assert [(each["symbol"], each["is_new"], each["bars"]) for each in previews["instruments"]] == [
        ("AAA", True, 3),
        ("BBB", True, 4),
    ]
    (window,) = previews["instruments"][1]["windows"]
    assert (window["window"], window["rows"], window["rejected"], window["passed"]) == ("2024", 4, 1, True)
    assert previews["instruments"][0]["first"]["ts"] == "2024-01-02T00:00:00Z"

    result = ready("ingest", "AAA", "BBB", "NOPE", *options)
    assert result.exit_code == 1
    done = json.loads(result.stdout)
    assert done["symbols"]["AAA"]["inserted"] == done["symbols"]["BBB"]["inserted"] == 3
    assert (done["total"]["inserted"], done["total"]["quarantined"], done["rolled_up"]) == (6, 1, {"1w": 2, "1mo": 2})
    assert done["registered"] == ["AAA", "BBB"]
    (entry,) = done["rejected"]
    assert (entry["symbol"], entry["window"], entry["quarantined"]) == ("BBB", "2024", 1)
    assert "no file for NOPE" in done["refused"]["NOPE"]
    assert all(run["succeeded"] for run in done["runs"])
    assert "partitions" not in result.stderr.splitlines()[-1]  # what people read is about errors


def test_an_ingest_that_would_change_nothing_takes_no_run(ready: Run, tmp_path: Path) -> None:
    file = write_days(tmp_path, "AAA", GOOD) / "bars_1d" / "AAA.csv"

    def ingest(*options: str) -> tuple[int, dict[str, int]]:
        """Return the number of runs, and what became of the rows."""
        done = json.loads(ready("ingest", "AAA", "--path", str(tmp_path), "--json", *options).stdout)
        return len(done["runs"]), done["symbols"]["AAA"]

    def count(**rows: int) -> dict[str, int]:
        return (
            dict.fromkeys(("inserted", "revised", "unchanged", "quarantined", "warnings", "vanished", "retracted"), 0)
            | rows
        )

    content = file.read_text()
    assert ingest() == (2, count(inserted=3))
    assert ingest() == (0, count(unchanged=3))
    assert ingest("--start", "2024-01-03") == (0, count(unchanged=2))
    assert ingest("--refresh") == ingest("--max-rejected-share", "0.5") == (1, count(unchanged=3))
    file.write_text(content.replace("2024-01-03,11,13", "2024-01-03,11,14"))
    assert ingest() == (2, count(revised=1, unchanged=2))
    assert ingest() == (0, count(unchanged=3))
    file.write_text(file.read_text() + "2024-01-05,12,14,11,13,100\n")
    assert ingest() == (2, count(inserted=1, unchanged=3))
    file.write_text(content)  # a row is gone, and another value is back
    assert ingest()[0] > 0
    jump = content.replace("2024-01-04,12,14,11,13", "2024-01-04,120,140,110,130")
    other = tmp_path / "bars_1d" / "BBB.csv"
    other.write_text(jump)
    first, again = (json.loads(ready("ingest", "BBB", "--path", str(tmp_path), "--json").stdout) for _ in range(2))
    assert first["total"]["warnings"] == again["total"]["warnings"] > 0  # what was noticed stays noticed
    assert (len(first["runs"]), len(again["runs"])) == (2, 0)
    other.unlink()
    file.write_text(content + "2024-01-08,13,12,15,14,100\n")  # its high is below its low
    assert [ingest()[1]["quarantined"] for _ in range(2)] == [1, 1]
    file.write_text("date,open,high,low,close,volume\n")
    assert ready("ingest", "AAA", "--path", str(tmp_path)).exit_code != 0


def test_what_another_asset_class_refuses_is_found_where_nothing_else_changed(ready: Run, tmp_path: Path) -> None:
    write_days(tmp_path, "CLX", [GOOD[0], "2024-01-03,11,13,-9,12,100", GOOD[2]])
    where = ("ingest", "CLX", "--path", str(tmp_path), "--calendar", "XNYS")
    assert ready(*where, "--asset-class", "future").exit_code == 0
    assert json.loads(ready(*where, "--json").stdout)["total"]["unchanged"] == 3
    assert ready("instruments", "set", "CLX", "--asset-class", "equity").exit_code == 0
    assert json.loads(ready(*where, "--json").stdout)["total"]["quarantined"] == 1


def test_rejected_rows_beside_good_ones_end_with_3_too(ready: Run, tmp_path: Path) -> None:
    path = write_days(tmp_path, "AAA", [*GOOD, "2024-01-05,13,12,15,14,100"])
    result = ready("ingest", "AAA", "--path", str(path))
    assert result.exit_code == 3
    assert line_of(result, "AAA") == "AAA    inserted=3 revised=0 unchanged=0 quarantined=1 warnings=1"
    assert "1 row rejected, the others published" in result.stderr
    assert "1 finding: `chandlery findings list`" in result.stderr  # the session has no bar
    (finding,) = json.loads(ready("findings", "list", "AAA", "--json").stdout)
    assert (finding["rule"], finding["state"], finding["start"][:10]) == ("session_count", "open", "2024-01-05")
    assert "session_count" in ready("findings", "list").stdout
    assert "findings 1 noticed" in re.sub(" +", " ", ready("status").stdout)
    assert json.loads(ready("status", "--json").stdout)["findings"] == 1
    assert "1 finding: " in ready("coverage").stderr
    coverage = json.loads(ready("coverage", "AAA", "-t", "1d", "--json").stdout)
    assert [row["findings"] for row in coverage] == [1]
    number = str(finding["finding_id"])
    assert "chandlery findings dismiss" in ready("findings", "show", number).stdout
    assert ready("findings", "dismiss", number, "--reason", "a holiday", "--by", "Ann").exit_code == 0
    assert ready("findings", "dismiss", number, "--reason", "again").exit_code == 2
    assert json.loads(ready("findings", "show", number, "--json").stdout)["closed_by"] == "Ann"
    assert "No finding is there" in ready("findings", "list").stderr
    again = ready("ingest", "AAA", "--path", str(path))
    assert line_of(again, "AAA") == "AAA    inserted=0 revised=0 unchanged=3 quarantined=1 warnings=0"


def test_failed_counts_more_than_rejected(ready: Run, tmp_path: Path) -> None:
    path = write_days(tmp_path, "AAA", ["2024-01-05,13,12,15,14,100"])
    assert ready("ingest", "AAA", "NOPE", "--path", str(path)).exit_code == 1


def test_a_run_that_breaks_down_is_a_failure(ready: Run) -> None:
    result = ready("ingest", "AAPL", orchestrator=BrokenOrchestrator)
    assert result.exit_code == 1
    assert "run 7 failed: the disk is full" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["NEW"], "name its provider with --provider"),
        ([], "no symbol was given"),
        (["AA|PL"], "position 3"),
        (["AAPL", "--timeframe", "1h"], "derived from 1m"),
        (["AAPL", "--timeframe", "1m"], "provider 'sample' has no 1m bars; it has: 1d"),
        (["AAPL", "--timeframe", "1M"], "timeframe='1M' may mean minutes or months; write 1m or 1mo"),
        (["AAPL", "--provider", "sampel"], "did you mean 'sample'?"),
        (["AAPL", "--tz", "UTC"], "name it with --provider"),
        (["AAPL", "--provider", "sample", "--tz", "UTC"], "tz"),
        (["AAPL", "--path", "nowhere"], "there is no folder"),
        (["AAPL", "--start", "tomorrow"], "start='tomorrow' is not a date"),
        (["AAPL", "--start", "2024-01-31T10:00"], "has no time zone"),
        (["AAPL", "--start", "2013-01-01", "--end", "2012-01-01"], "is not before"),
        (["AAPL", "--start", "2999-01-01"], "is in the future"),
        (["AAPL", "--start", "1985-01-01"], "history.1d = 1990-01-01"),
        (["AAPL", "--calendar", "24/7"], "AAPL is registered with calendar=XNYS and is described in universe.yaml"),
        (["NEW", "--provider", "simulated", "--calendar", "XXXX"], "calendar 'XXXX' is not known"),
        (["NEW", "--provider", "simulated", "--asset-class", "stock"], "asset_class='stock' is not known"),
        (["AAPL", "--max-rejected-share", "2"], "allowed: 0 to 1"),
        (["--preset", "demo-dayly"], "did you mean 'demo-daily'?"),
        (["--symbols-file", "nowhere.txt"], "cannot be read"),
        (["--provider", "simulated"], "cannot list what it has"),
    ],
)
def test_wrong_use_of_ingest_ends_with_2_and_says_what_is_allowed(ready: Run, arguments: list[str], said: str) -> None:
    result = ready("ingest", *arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert "NEW" not in ready("coverage", "--json").stdout


def test_a_failed_order_registers_nothing(ready: Run) -> None:
    ready("ingest", "NEW", "--provider", "simulated", "--start", "1985-01-01")
    assert "'NEW' is not known" in ready("query", "NEW").stderr


def test_symbols_come_from_a_file_too(ready: Run, tmp_path: Path) -> None:
    listed = tmp_path / "symbols.txt"
    listed.write_text("# two of them\nAAPL\n\nMSFT  # the other\n")
    result = ready("ingest", "--symbols-file", str(listed), "--start", "2012-12-01", "--end", "2013-01-01")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["AAPL", "MSFT", "total"]


def test_simulated_bars_without_a_range_are_the_last_two_full_weeks(ready: Run) -> None:
    assert ready("ingest", "SIM", "--timeframe", "1m").exit_code == 0
    (one,) = json.loads(ready("coverage", "SIM", "--timeframe", "1m", "--json").stdout)
    first = datetime.fromisoformat(one["first_ts"])
    assert first.weekday() in {0, 1}  # Tuesday where Monday is a holiday
    assert 7 < (datetime.now(UTC) - first).days < 22


@pytest.fixture
def restated(ready: Run, tmp_path: Path) -> tuple[Run, str]:
    """Three days of AAA, of which the second was restated; and a moment between the two publications."""
    path = str(write_days(tmp_path, "AAA", GOOD))
    assert ready("ingest", "AAA", "--path", path).exit_code == 0
    between = datetime.now(UTC).isoformat()
    write_days(tmp_path, "AAA", [GOOD[0], "2024-01-03,11,13,10,12.5,100", GOOD[2]])
    assert "revised=1 unchanged=2" in ready("ingest", "AAA", "--path", path).stdout
    return ready, between


def test_a_query_as_of_shows_what_was_known_then(restated: tuple[Run, str]) -> None:
    run, between = restated

    def closes(*arguments: str) -> list[float]:
        return [row["close"] for row in json.loads(run("query", "AAA", "--format", "json", *arguments).stdout)]

    assert closes() == [11.0, 12.5, 13.0]
    assert closes("--as-of", between) == [11.0, 12.0, 13.0]
    assert closes("--as-of", between, "--limit", "2") == [12.0, 13.0]
    assert closes("--as-of", "2020-01-01") == []


def test_revisions_show_each_value_and_when_it_was_believed(restated: tuple[Run, str]) -> None:
    run, _ = restated
    old, new = json.loads(run("revisions", "AAA", "--format", "json").stdout)
    assert (old["ts"], old["close"], new["close"]) == ("2024-01-03T00:00:00Z", 12.0, 12.5)
    assert old["superseded_at"] == new["known_at"]
    assert new["superseded_at"] is None
    assert "2024-01-03" in run("revisions", "AAA").stdout
    assert "ever restated in [2024-01-04 00:00Z" in run("revisions", "AAA", "--start", "2024-01-04").stderr


def test_bars_come_out_as_table_csv_json_and_parquet(ready: Run, tmp_path: Path) -> None:
    ready("ingest", "AAPL", "--start", "2012-01-01", "--end", "2013-01-01")
    table = ready("query", "AAPL").stdout
    assert sum(line.strip().startswith("2012-12") for line in table.splitlines()) == 20
    csv = ready("query", "AAPL", "--format", "csv").stdout.splitlines()
    assert csv[0] == "ts,open,high,low,close,volume,vwap,trades,source"
    assert len(csv) == 251
    assert csv[1].startswith("2012-01-03T00:00:00Z,409.4,412.5,409,411.23,")
    for name in ("a.csv", "a.json", "a.parquet"):
        assert ready("query", "AAPL", "-o", str(tmp_path / name)).exit_code == 0
    assert pacsv.read_csv(tmp_path / "a.csv").num_rows == 250
    assert len(json.loads((tmp_path / "a.json").read_text())) == 250
    assert pq.read_table(tmp_path / "a.parquet")["close"][0].as_py() == 411.23


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["APPL"], "did you mean AAPL"),
        (["AAPL", "--format", "parquet"], "add --output FILE"),
        (["AAPL", "--output", "bars.xls"], "add --format csv"),
        (["AAPL", "--start", "2012-01-02", "--end", "2012-01-01"], "is not before"),
        (["AAPL", "--as-of", "noon"], "as_of='noon'"),
        ([""], "the argument after query is empty"),
        (["AAPL", ""], "the argument after AAPL is empty"),
        (["AAPL", "--json", ""], "the argument after --json is empty"),
    ],
)
def test_wrong_use_of_query_ends_with_2(ready: Run, arguments: list[str], said: str) -> None:
    result = ready("query", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_query_without_an_answer_says_where_to_look(ready: Run) -> None:
    result = ready("query", "AAPL")
    assert result.exit_code == 0
    assert "chandlery coverage AAPL" in result.stderr


def test_the_last_bar_is_one(ready: Run) -> None:
    ready("ingest", "AAPL", "--provider", "sample", "--start", "2012-01-03", "--end", "2012-01-05")
    assert "The last bar; --limit" in ready("query", "AAPL", "--limit", "1").stderr
    assert "The last 2 bars; --limit" in ready("query", "AAPL", "--limit", "2").stderr


def test_findings_of_a_rule_that_is_not_known_are_refused(ready: Run) -> None:
    result = ready("findings", "list", "--rule", "price_jumps")
    assert result.exit_code == 2
    assert "rule='price_jumps' is not known; did you mean price_jump? allowed: identical_copies" in result.stderr
    assert ready("findings", "list", "--rule", "vanished_rows").exit_code == 0


def test_coverage_lists_the_sessions_that_are_missing(ready: Run, tmp_path: Path) -> None:
    rows = [
        *GOOD,
        "2024-01-09,13,15,12,14,100",
        "2024-01-11,14,16,13,15,100",
    ]  # without Friday 5, Monday 8, Wednesday 10
    ready("ingest", "AAA", "--path", str(write_days(tmp_path, "AAA", rows)))
    (one,) = json.loads(ready("coverage", "AAA", "--timeframe", "1d", "--json").stdout)
    assert (one["rows"], one["present"], one["expected"], one["missing"]) == (5, 5, 8, 3)
    assert one["missing_sessions"] == [
        {"first": "2024-01-05", "last": "2024-01-08", "sessions": 2},
        {"first": "2024-01-10", "last": "2024-01-10", "sessions": 1},
    ]
    text = ready("coverage", "AAA").stdout
    assert "2024-01-05..2024-01-08 (2), 2024-01-10" in text
    assert "5/8 62.5%" in text


def test_coverage_of_minutes_counts_slots_and_what_is_outside(ready: Run, tmp_path: Path) -> None:
    folder = tmp_path / "bars_1m"
    folder.mkdir()
    lines = [
        f"2024-01-02T{hour}:{minute:02}:00Z,10,12,9,11,5" for hour, minute in [(14, 0), (14, 30), (14, 31), (20, 59)]
    ]
    (folder / "AAA.csv").write_text("\n".join(["time,o,h,l,c,v", *lines]) + "\n")
    assert ready("ingest", "AAA", "-t", "1m", "--path", str(tmp_path)).exit_code == 0
    (one,) = json.loads(ready("coverage", "AAA", "-t", "1m", "--json").stdout)
    assert (one["rows"], one["slots_present"], one["slots_expected"], one["outside"]) == (4, 3, 390, 1)
    assert (one["present"], one["expected"], one["sources"]) == (1, 1, ["files"])


def test_status_shows_where_things_are(ready: Run) -> None:
    ready("ingest", "META")
    text = ready("status").stdout
    assert "postgresql://" in line_of(ready("status"), "server")
    assert re.search(r"/cache: .* of at most 4.0 GB in \d+ files?$", line_of(ready("status"), "cache"))
    [disk] = json.loads(ready("status", "--json").stdout)["cache"]
    assert (disk["place"], disk["limit"], disk["trouble"]) == ("disk", 4 * 2**30, None)
    assert re.search(r"1d +196", text)
    assert "none: derived bars are in step" in text
    assert "roll-up" in text


def test_the_ui_warns_where_strangers_can_reach_it(ready: Run) -> None:
    assert "the token travels over the network as it is" in ready("ui", "--host", "0.0.0.0").stderr
    assert "warning" not in ready("ui").stderr


def test_a_report_opens_without_a_network(ready: Run, tmp_path: Path) -> None:
    ready("ingest", "META")
    ready("ingest", "SIM", "-t", "1m", "--start", "2024-06-03", "--end", "2024-06-05")
    installation = Installation.open()
    page = write_report(installation, tmp_path / "report.html", ["META", "SIM"]).read_text()
    installation.warehouse.close()
    assert len(page) < 7_000_000
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=[\"']?(https?:)?//", page)
    assert page.count("<script") == page.count("</script>") == 3
    assert "META" in page
    assert "bokeh_sampledata" in page
    assert "Nothing of it ever happened" in page
    charts = json.loads(page.split('id="charts">')[1].split("</script>")[0])
    assert [chart["name"] for chart in charts] == ["META", "SIM"]
    assert len(charts[0]["close"]) == 196
    # Days that were made of minutes are no series of their own: they stand among what was rolled up from these.
    assert re.search(r"4h&nbsp;\d+ · 1d&nbsp;2", page)


def test_a_password_is_never_shown() -> None:
    url = "postgresql://ann:s3cret@db.example:5433/bars"
    settings = Settings(database_url=SecretStr(url))
    text = describe_server(open_warehouse(market_dsn(settings)), settings)
    assert text == "postgresql://ann@db.example:5433/bars"


def test_the_demo_loads_shows_and_reports_and_changes_nothing_again(
    ready: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main(InMemoryOrchestrator) == 0
    first = capsys.readouterr().out
    total = r"^total  inserted=36107 revised=1 unchanged=0 quarantined=0 warnings=(\d+)$"
    warnings = re.search(total, first, re.MULTILINE)
    assert warnings is not None
    assert int(warnings[1]) > 0  # splits
    assert "10 rows in" in first
    assert (tmp_path / "home" / "reports" / "demo.html").is_file()
    days = json.loads(ready("coverage", "-t", "1d", "--json").stdout)
    of_minutes = {row["symbol"]: row["rows"] for row in days if row["sources"] == ["derived:1m:simulated"]}
    assert of_minutes == {"SIM": 10, "SIM/USD": 14}
    assert sum(row["rows"] for row in days) - 10 - 14 == 12_154
    restated = json.loads(ready("revisions", "SIM", "-t", "1m", "--json").stdout)
    assert [(row["ts"], row["close"]) for row in restated] == [("2024-06-14T14:30:00Z", c) for c in (88.29, 89.44)]
    assert demo.main(InMemoryOrchestrator) == 0
    second = capsys.readouterr().out
    assert f"total  inserted=0 revised=0 unchanged=36107 quarantined=0 warnings={warnings[1]}" in second
    assert "Nothing changed" in second


def test_bars_are_archived_let_go_verified_and_restored_by_hand(ready: Run, tmp_path: Path) -> None:
    ready("ingest", "SIM", "-t", "1m", "--provider", "simulated", "--start", "2023-11-28", "--end", "2023-12-06")
    asked = ("query", "SIM", "-t", "1m", "--start", "2023-11-01", "--end", "2024-01-01", "--format", "csv")
    before, tail = ready(*asked).stdout, ready("query", "SIM", "-t", "1m", "--format", "csv").stdout
    coverage = ready("coverage", "SIM", "--json").stdout

    archived = ready("archive")
    assert re.search(
        r"^archived: files=2 bars=[\d,]+ bytes=[\d,]+ retired files deleted=0$", archived.stdout, re.MULTILINE
    )
    assert "symbol=SIM/2023-01-01_2024-01-01_v1.parquet" in archived.stderr
    assert ready("archive").stdout.startswith("archived: files=0 ")
    released = ready("prune", "-t", "1m")
    assert re.search(r"^1m: released=2 refused=0 dropped=2 ", released.stdout, re.MULTILINE)
    assert ready(*asked).stdout == before
    assert ready("query", "SIM", "-t", "1m", "--format", "csv").stdout == tail
    assert ready("coverage", "SIM", "--json").stdout == coverage
    assert ready("archive", "--verify").stdout.splitlines()[-1].startswith("verified: files=2 ")

    [file] = (tmp_path / "home" / "lake").glob("bars_1m/*/*.parquet")
    content = file.read_bytes()
    file.write_bytes(content[:1000] + b"\0" + content[1001:])
    verified = ready("archive", "--verify")
    assert verified.exit_code == 1
    assert str(file) in verified.stdout
    damaged = ready(*asked)
    assert damaged.exit_code == 1
    assert str(file) in damaged.stderr
    file.write_bytes(content)

    assert ready("restore", "2023-11").stdout.startswith("restored: windows=1 ")
    assert ready("prune", "-t", "1m").stdout.startswith("1m: released=0 refused=0 dropped=0 ")  # it is kept for a month
    assert ready(*asked).stdout == before
    assert ready("restore", "2023-13").exit_code == 2
    assert ready("prune", "-t", "5m").exit_code == 2
    assert ready("compress").stdout.startswith("Nothing to compress on the postgres edition")


def test_what_is_not_archived_stays_and_the_command_says_so(ready: Run) -> None:
    ready("ingest", "SIM", "-t", "1m", "--provider", "simulated", "--start", "2023-11-28", "--end", "2023-11-30")
    refused = ready("prune")
    assert refused.exit_code == 1
    assert "stays: SIM 1m 2023-11: it was never archived" in refused.stdout


def test_every_command_prints_its_result_as_json(ready: Run, tmp_path: Path) -> None:
    path = str(write_days(tmp_path, "AAA", GOOD))
    halt = "2024-06-03T14:41:00+00:00"
    halts = tmp_path / "halts.csv"
    halts.write_text(f"symbol,start,end,reason\nAAA,{halt},2024-06-03T14:46:00Z,LUDP\n")
    for arguments, kind in [
        (["init"], dict),
        (["ingest", "AAA", "--path", path, "--dry-run"], dict),
        (["ingest", "AAA", "--path", path], dict),
        (["replay", "--provider", "sample"], dict),
        (["status"], dict),
        (["cache"], list),
        (["cache", "clear"], list),
        (["query", "AAA"], list),
        (["revisions", "AAA"], list),
        (["why", "AAA", "2024-01-02"], dict),
        (["coverage"], list),
        (["coverage", "AAA"], list),
        (["quarantine", "list"], list),
        (["halts", "import", str(halts)], dict),
        (["halts", "add", "AAA", halt, "2024-06-03T14:47:00Z", "--reason", "LUDP"], dict),
        (["halts", "list"], list),
        (["halts", "remove", "AAA", halt], dict),
        (["archive"], dict),
        (["archive", "--verify"], dict),
        (["compress"], dict),
        (["prune"], list),
        (["restore", "2023", "-t", "1d"], dict),
    ]:
        result = ready(*arguments, "--json")
        assert result.exit_code == 0, (arguments, result.output)
        assert isinstance(json.loads(result.stdout), kind), arguments

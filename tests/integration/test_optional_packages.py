"""What reading loads, and what is said where a package of an extra is not installed: each in a process of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chandlery.core.timeframe import Timeframe
from chandlery.tiers.warehouse import Warehouse
from tests.interpreter import hide, loaded_by, run_python
from tests.support import Bar, put, register

MONDAY = datetime(2024, 6, 3, tzinfo=UTC)
READ = "from chandlery import DataAPI; bars = DataAPI().get_ohlc('AAA', '2024-06-01', '2024-07-01', output={output!r})"


@pytest.fixture
def env(warehouse: Warehouse, database_url: str, tmp_path: Path) -> dict[str, str]:
    """Variables of an installation with five bars of AAA."""
    register(warehouse, {"AAA": "XNYS"})
    put(warehouse, Timeframe.D1, [Bar("AAA", MONDAY + timedelta(days=day)) for day in range(5)])
    return {"CHANDLERY_DATABASE_URL": database_url, "CHANDLERY_HOME": str(tmp_path)}


@pytest.mark.parametrize("output", ["arrow", "polars", "pandas"])
def test_reading_loads_neither_the_orchestrator_nor_the_auditor(env: dict[str, str], output: str) -> None:
    heavy = ["dagster", "great_expectations", "matplotlib", "plotly", "alembic", "jinja2"]
    code = f"{READ.format(output=output)}\nassert len(bars) == 5"
    assert loaded_by(code, heavy, env=env) == []


def test_reading_as_arrow_needs_neither_pandas_nor_polars(env: dict[str, str]) -> None:
    # Where they are installed, Arrow and ADBC load them on their own account.
    code = f"{hide('pandas', 'polars')}\n{READ.format(output='arrow')}\nprint(len(bars))"
    assert run_python(code, env=env).stdout.split() == ["5"]


REPORT = """
from pathlib import Path
from chandlery.app.installation import Installation
from chandlery.report.report import write_report
write_report(Installation.open(), Path("report.html"), ["AAA"])
"""
INDICATORS = """
from chandlery import DataAPI
assert DataAPI().get_ohlc_with_indicators("AAA", indicators=["SMA_2", "VWAP"])["SMA_2"].notna().sum() == 4
DataAPI().get_ohlc_with_indicators("AAA", indicators=["EMA_2"])
"""
SAMPLE = """
from chandlery.core.timeframe import Timeframe
from chandlery.providers.sample import SampleProvider
SampleProvider().span("AAPL", Timeframe.D1)
"""


@pytest.mark.parametrize(
    ("needed_by", "package", "extra", "code"),
    [
        ("output='polars'", "polars", "polars", READ.format(output="polars")),
        ("a report", "plotly", "report", REPORT),
        ("EMA_2: this indicator", "ta-lib", "indicators", INDICATORS),
        ("provider 'sample'", "bokeh-sampledata", "sample", SAMPLE),
    ],
    ids=["polars", "report", "indicators", "sample"],
)
def test_an_extra_that_is_missing_is_named(  # noqa: PLR0917 - pytest hands them in by name
    env: dict[str, str], tmp_path: Path, needed_by: str, package: str, extra: str, code: str
) -> None:
    module = {"ta-lib": "talib"}.get(package, package.replace("-", "_"))
    done = run_python(f"{hide(module)}\n{code}", env=env, cwd=tmp_path, check=False)
    text = f"{needed_by} needs {package}; install it with pip install 'chandlery[{extra}]'"
    assert done.stderr.splitlines()[-1] == f"chandlery.errors.ConfigurationError: {text}"


def test_everything_but_what_needs_them_works_without_any_extra(env: dict[str, str]) -> None:
    extras = ["polars", "plotly", "bokeh_sampledata", "yfinance", "curl_cffi", "ib_async", "massive"]
    code = f"{READ.format(output='pandas')}\nimport chandlery.cli, pipelines.definitions\nprint(len(bars))"
    assert run_python(f"{hide(*extras)}\n{code}", env=env).stdout.split() == ["5"]

"""Fixtures every kind of test may use: real servers with databases of our own, and the real market data.

A test marked ``every_edition`` that uses ``database``, ``database_url`` or ``edition_server`` runs once on a server of
each edition; others run on the embedded PostgreSQL.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from psycopg import conninfo

from chandlery.database.connections import Database
from chandlery.tiers.warehouse import Warehouse
from tests.apache_server import UnavailableError
from tests.editions import NO_COMMUNITY_SERVER, NO_SERVER, Server, get_server, list_editions, url
from tests.support import open_warehouse

# Machines are shared, and tests run side by side: how long an example takes says nothing.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

# A shell that runs the tests in the background lets them ignore SIGINT, and what they start would inherit that: then
# Dagster's code server, which takes SIGTERM for SIGINT, could not be told to stop.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Likewise SIGHUP and `nohup`: what tests start has to end when its terminal does.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

SHARED_DATA = Path(__file__).parent.parent.parent / "shared" / "data"

NO_SHARED_DATA = "the shared market data is absent (expected in ../shared/data beside the checkout)"
#: Beginnings of the reasons for which many tests skip.
COMMON_REASONS = (NO_SHARED_DATA, NO_COMMUNITY_SERVER, NO_SERVER)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Let the tests that skip for one reason be one line at the end, with their number, wherever they stand."""
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason.startswith(COMMON_REASONS):
            report.longrepr = (str(Path(__file__).parent), None, reason)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked ``every_edition`` once on each, less those that ``only_on`` leaves out."""
    if "edition" not in metafunc.fixturenames or not metafunc.definition.get_closest_marker("every_edition"):
        return
    only = metafunc.definition.get_closest_marker("only_on")
    editions = [name for name in list_editions() if only is None or name in only.args]
    absent = pytest.mark.skip(reason=NO_COMMUNITY_SERVER)
    metafunc.parametrize("edition", editions or [pytest.param("community", marks=absent)], indirect=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real market data beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip(NO_SHARED_DATA)
    return SHARED_DATA


@pytest.fixture(scope="session")
def server() -> str:
    """Connection string of the embedded server of this test run: of a migrated database to copy."""
    embedded = get_server("postgres")
    return embedded.dsn(embedded.template)


@pytest.fixture
def edition(request: pytest.FixtureRequest) -> str:
    """Name of the edition that the test runs on."""
    return str(getattr(request, "param", "postgres"))


@pytest.fixture
def edition_server(edition: str) -> Server:
    """A server of the edition that the test runs on."""
    try:
        return get_server(edition)
    except UnavailableError as error:
        pytest.skip(f"{NO_SERVER} of the {edition} edition: {error}")


@pytest.fixture
def database_url(edition_server: Server) -> Iterator[str]:
    """URL of a fresh database with the schema and nothing in it."""
    with edition_server.new_database() as dsn:
        yield url(dsn)


@pytest.fixture
def warehouse(database_url: str) -> Iterator[Warehouse]:
    """A fresh database with the schema and nothing in it."""
    warehouse = open_warehouse(conninfo.make_conninfo(database_url))
    yield warehouse
    warehouse.close()


@pytest.fixture
def database(warehouse: Warehouse) -> Database:
    """The database of a fresh warehouse."""
    return warehouse.database

"""Errors of a server become ours, told apart by their codes: the server of most of these tests speaks German."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import conninfo, sql

from chandlery.database.connections import Database
from chandlery.database.dsn import database_name, ensure_database, sqlalchemy_url
from chandlery.database.errors import explain, find_sqlstate, is_driver_error
from chandlery.errors import StoreError, StoreUnavailableError
from tests import german_server
from tests.apache_server import UnavailableError
from tests.editions import url

SECRET = "hunter2"
_server: list[str | UnavailableError] = []


@pytest.fixture(scope="module")
def german() -> str:
    """Connection string of a database on a server that speaks German, with a role that may do little."""
    if not _server:
        try:
            _server.append(german_server.start())
        except UnavailableError as error:
            _server.append(error)
    server = _server[0]
    if isinstance(server, UnavailableError):
        pytest.skip(f"no server that speaks German: {server}")
    with psycopg.connect(server, autocommit=True) as admin:
        for name in ("bars", "neu"):
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # type: ignore[arg-type]
        admin.execute("CREATE DATABASE bars")
        for role, option in (("reader", ""), ("busy", "CONNECTION LIMIT 0"), (SECRET, "")):
            admin.execute(f"DROP ROLE IF EXISTS {role}")
            admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}' {option}")  # type: ignore[arg-type]
    dsn = conninfo.make_conninfo(server, dbname="bars")
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("CREATE TABLE public.kept (number int)")
    return dsn


def refused(dsn: str, statement: str = "SELECT 1") -> StoreError:
    """Return what is raised of a statement, of either driver and by a dedicated connection, always the same."""
    caught: list[StoreError] = []
    with Database(dsn) as database:

        def shared() -> None:
            with database.connection() as connection:
                connection.execute(statement)  # type: ignore[arg-type]

        def dedicated() -> None:
            with database.dedicated() as connection:
                connection.execute(statement)  # type: ignore[arg-type]

        def columns() -> None:
            database.fetch_arrow(sql.SQL(statement).format())  # type: ignore[arg-type]

        for way in (shared, dedicated, columns):
            with pytest.raises(StoreError) as error:
                way()
            caught.append(error.value)
    assert len({(type(error), error.sqlstate) for error in caught}) == 1
    assert all(SECRET not in str(error) and german_server.PASSWORD not in str(error) for error in caught)
    return caught[0]


def test_a_database_that_is_absent_is_created_by_init(german: str) -> None:
    absent = conninfo.make_conninfo(german, dbname="neu")  # for other tests, another one is absent
    error = refused(absent)
    assert isinstance(error, StoreUnavailableError)
    assert error.sqlstate == "3D000"
    assert "existiert nicht" in str(error)
    assert str(error).endswith("; run `chandlery init` to create it")
    with ThreadPoolExecutor(8) as pool:  # several that begin at once all succeed
        list(pool.map(ensure_database, [absent] * 8))
    ensure_database(absent)
    with Database(absent) as database, database.connection() as connection:
        assert connection.info.dbname == database_name(absent) == "neu"
        connection.execute("SELECT 1")


def test_a_role_that_may_not_create_the_database_hears_whom_to_ask(german: str) -> None:
    absent = conninfo.make_conninfo(german, dbname="fehlt", user="reader", password=SECRET)
    with pytest.raises(StoreError, match="ask your administrator for: CREATE DATABASE fehlt") as caught:
        ensure_database(absent)
    assert "keine Berechtigung" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "state", "german_text", "advice"),
    [
        ({"password": "falsch"}, "28P01", "Passwort", "check the user and the password in CHANDLERY_DATABASE_URL"),
        ({"user": "busy", "password": SECRET}, "53300", "zu viele Verbindungen", "raise its max_connections"),
    ],
)
def test_a_server_that_lets_nobody_in_says_why(
    german: str, options: dict[str, str], state: str, german_text: str, advice: str
) -> None:
    error = refused(conninfo.make_conninfo(german, **options))
    assert isinstance(error, StoreUnavailableError)
    assert error.sqlstate == state
    assert german_text in str(error)
    assert advice in str(error)
    with pytest.raises(StoreUnavailableError) as caught:
        ensure_database(conninfo.make_conninfo(german, **options))
    assert caught.value.sqlstate == state


@pytest.mark.parametrize(
    ("statement", "state", "beginning", "advice"),
    [
        (
            "SELECT pg_sleep(60)",
            "57014",
            "the server cancelled a statement",
            "raise statement_timeout, or ask for less",
        ),
        ("SELECT * FROM nirgends", "42P01", "the database does not have this version's", "`chandlery init`"),
        ("SELECT 1/0", "22012", "the database refused a statement", "SQLSTATE 22012"),
    ],
)
def test_a_statement_that_fails_says_what_to_do(
    german: str, statement: str, state: str, beginning: str, advice: str
) -> None:
    error = refused(conninfo.make_conninfo(german, options="-c statement_timeout=100"), statement)
    assert not isinstance(error, StoreUnavailableError)
    assert error.sqlstate == state
    assert str(error).startswith(beginning)
    assert advice in str(error)
    assert "does not answer" not in str(error)


def test_a_role_without_the_right_hears_so(german: str) -> None:
    error = refused(conninfo.make_conninfo(german, user="reader", password=SECRET), "SELECT * FROM public.kept")
    assert (error.sqlstate, str(error).split(":")[0]) == ("42501", "this role may not do that")
    assert "keine Berechtigung" in str(error)


@pytest.mark.parametrize("state", ["53100", "53200", "40001", "40P01", "55P03", "25006"])
def test_the_other_codes_have_a_sentence_of_their_own(german: str, state: str) -> None:
    with Database(german) as database, pytest.raises(StoreError) as caught, database.connection() as connection:
        connection.execute(f"DO $$ BEGIN RAISE EXCEPTION 'so ist es' USING ERRCODE = '{state}'; END $$")  # type: ignore[arg-type]
    assert caught.value.sqlstate == state
    assert ": so ist es; " in str(caught.value)
    assert not str(caught.value).startswith("the database refused")


def test_a_server_that_takes_no_writes_says_so(german: str) -> None:
    dsn = conninfo.make_conninfo(german, options="-c default_transaction_read_only=on")
    error = refused(dsn, "INSERT INTO public.kept VALUES (1)")
    assert (error.sqlstate, str(error).split(":")[0]) == ("25006", "the server is read-only")


def test_a_session_that_an_administrator_ended_is_unavailable_not_refused(german: str) -> None:
    def end() -> None:
        with Database(german) as database, database.connection() as connection:
            with psycopg.connect(german, autocommit=True) as admin:
                admin.execute("SELECT pg_terminate_backend(%s, 60000)", (connection.info.backend_pid,))
            connection.execute("SELECT 1")

    with pytest.raises(StoreUnavailableError, match="the database does not answer any more") as caught:
        end()
    assert caught.value.sqlstate == "57P01"


def test_a_server_that_is_not_there_is_said_at_once_and_by_both_drivers(german: str) -> None:
    error = refused(conninfo.make_conninfo(german, port=1))
    assert isinstance(error, StoreUnavailableError)
    assert error.sqlstate is None
    assert str(error).startswith("the database cannot be reached")


def test_a_password_is_in_no_text_even_where_the_server_repeats_it(german: str) -> None:
    """The database and the role bear the password as their name, so that the server's own text has it."""
    for options in ({"dbname": SECRET}, {"user": SECRET, "dbname": SECRET}):
        dsn = conninfo.make_conninfo(german, **{"password": SECRET, "user": "reader"} | options)
        with pytest.raises(psycopg.OperationalError, match=SECRET) as raw:
            psycopg.connect(dsn)
        assert SECRET not in str(explain(raw.value, dsn))
        assert "***" in str(refused(dsn))
        with pytest.raises(StoreError) as caught:
            ensure_database(dsn)
        assert SECRET not in str(caught.value).replace(f"CREATE DATABASE {SECRET}", "").replace(
            f"database '{SECRET}'", ""
        )


def test_a_wrong_password_is_seen_without_reading_the_text(german: str) -> None:
    assert find_sqlstate(german) is None
    assert find_sqlstate(conninfo.make_conninfo(german, password="falsch")) == "28P01"
    assert find_sqlstate(conninfo.make_conninfo(german, dbname="fehlt")) == "3D000"
    assert find_sqlstate(conninfo.make_conninfo(german, port=1)) is None


def test_a_connection_that_the_orchestrators_driver_found_closed_is_unavailable_not_refused(server: str) -> None:
    import psycopg2

    connection = psycopg2.connect(server)
    with connection.cursor() as cursor, pytest.raises(psycopg2.OperationalError):
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(psycopg2.InterfaceError) as closed:
        connection.cursor()
    assert isinstance(explain(closed.value, server), StoreUnavailableError)


def test_errors_of_the_orchestrators_drivers_are_explained_too(german: str) -> None:
    import psycopg2
    import sqlalchemy

    dsn = conninfo.make_conninfo(german, options="-c statement_timeout=1")
    engine = sqlalchemy.create_engine(sqlalchemy_url(dsn))
    with pytest.raises(sqlalchemy.exc.OperationalError) as caught, engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT pg_sleep(60)"))
    engine.dispose()
    assert is_driver_error(caught.value)
    assert explain(caught.value, dsn).sqlstate == "57014"
    with pytest.raises(psycopg2.OperationalError) as refusal:
        psycopg2.connect(conninfo.make_conninfo(german, port=1))
    assert isinstance(explain(refusal.value, dsn), StoreUnavailableError)
    assert not is_driver_error(ValueError("ours"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda dsn: conninfo.make_conninfo(dsn, dbname="fehlt"), "run `chandlery init` to create it"),
        (lambda dsn: conninfo.make_conninfo(dsn, password="falsch-17"), "check the user and the password"),
        (lambda dsn: dsn, "run `chandlery init`"),
    ],
)
def test_the_command_line_ends_with_one_message(german: str, change: Callable[[str], str], message: str) -> None:
    address = url(change(german))
    ended = subprocess.run(
        [sys.executable, "-c", "from chandlery.cli import main; main()", "status"],
        env=os.environ | {"CHANDLERY_DATABASE_URL": address},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    assert message in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr
    assert german_server.PASSWORD not in ended.stderr + ended.stdout
    assert "falsch-17" not in ended.stderr + ended.stdout

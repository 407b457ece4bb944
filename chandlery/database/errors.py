"""Turns every error of a database driver into one of ours that says what to do.

Errors are told apart by SQLSTATE, never by their text, which a server may write in any language.
"""

from __future__ import annotations

import os
import select
import sys

import psycopg
from psycopg import conninfo, pq

from chandlery.database.reachability import diagnose, find_addresses
from chandlery.errors import StoreError, StoreUnavailableError
from chandlery.redaction.text import hide

#: What happened and what to do about it, by SQLSTATE.
_MEANINGS = {
    "3D000": ("the database cannot be reached", "run `chandlery init` to create it"),
    "28P01": ("the database cannot be reached", "check the user and the password in CHANDLERY_DATABASE_URL"),
    "28000": (
        "the database cannot be reached",
        "check the user in CHANDLERY_DATABASE_URL, its sslmode=require where the server wants TLS, and pg_hba.conf",
    ),
    "53300": (
        "the server has no connection left",
        "end programs that hold connections to it, or raise its max_connections",
    ),
    "53100": (
        "the server's disk is full",
        "nothing of this was written; make room there (`chandlery archive` and `chandlery prune` move old bars out)",
    ),
    "53200": ("the server is out of memory", "ask for less at once, or give it more"),
    "57014": (
        "the server cancelled a statement",
        "it ran longer than statement_timeout allows, or a person did it; raise statement_timeout, or ask for less",
    ),
    "55P03": (
        "the server did not grant a lock in time",
        "somebody else works on the same rows or tables; try again, or raise lock_timeout for this role",
    ),
    "40P01": ("the server ended a deadlock", "nothing of this was written; try again"),
    "40001": ("another transaction changed the same rows", "nothing of this was written; try again"),
    "25006": (
        "the server is read-only",
        "it is a standby, or default_transaction_read_only is on; let CHANDLERY_DATABASE_URL name a primary server",
    ),
    "42501": (
        "this role may not do that",
        "let the owner of the tables do it, or ask your administrator for the right",
    ),
    "42P01": ("the database does not have this version's schema", "run `chandlery init`"),
    "3F000": ("the database does not have this version's schema", "run `chandlery init`"),
    "08P01": (
        "the database cannot be reached",
        "if it is a pooler's, take `options` out of CHANDLERY_DATABASE_URL or into its ignore_startup_parameters",
    ),
    "57P03": ("the database cannot be reached", "the server is starting or stopping; try again in a moment"),
}
#: The server ended the session: it was stopped, it crashed, or a person or a time limit ended the session.
_ENDED = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
_LOST = "the database does not answer any more"
_UNREACHABLE = "the database cannot be reached"
#: What was published stays, and nothing is left half done.
_AGAIN = "when the server is back, run the same again, which completes it"


def explain(error: BaseException, dsn: str) -> StoreError:
    """Return what to raise instead of ``error``, an error of psycopg, ADBC or SQLAlchemy.

    Args:
        error: as the driver raised it.
        dsn: libpq connection string of the server, or nothing where it is not known. Its password is taken out of the
            text. Where no connection could be made, the server is asked once more for the SQLSTATE, which the driver
            does not keep.
    """
    error = getattr(error, "orig", None) or error
    state = get_sqlstate(error)
    text = hide(_text_of(error), *passwords_of_dsn(dsn))
    if _is_failed_attempt(error, dsn):
        state = state or (find_sqlstate(dsn) if dsn else None)
        what, advice = _MEANINGS.get(state or "", (_UNREACHABLE, f"see that the server runs; {_AGAIN}"))
        if state is None and dsn:
            advice = diagnose(dsn) or advice
        return StoreUnavailableError(_sentence(what, text, advice), sqlstate=state)
    if is_connection_lost(error):
        return StoreUnavailableError(_sentence(_LOST, text, _AGAIN), sqlstate=state)
    if state in _MEANINGS:
        return StoreError(_sentence(_MEANINGS[state][0], text, _MEANINGS[state][1]), sqlstate=state)
    return StoreError(f"the database refused a statement: {text} (SQLSTATE {state or 'unknown'})", sqlstate=state)


def is_driver_error(error: BaseException) -> bool:
    """Return whether psycopg, ADBC, psycopg2 or SQLAlchemy raised ``error``, without importing any of them."""
    for module, name in (
        ("psycopg", "Error"),
        ("adbc_driver_manager", "Error"),
        ("psycopg2", "Error"),
        ("sqlalchemy.exc", "DBAPIError"),
    ):
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(error, kind):
            return True
    return False


def is_connection_lost(error: BaseException) -> bool:
    """Return whether the session in which ``error`` was raised is gone, so that a new one may do better."""
    state = get_sqlstate(error)
    if state is not None:
        return state in _ENDED or state.startswith("08")
    psycopg2 = sys.modules.get("psycopg2")
    # Whoever uses a connection that psycopg2 has found to be closed gets its error of the interface.
    older = (psycopg2.OperationalError, psycopg2.InterfaceError) if psycopg2 else ()
    if isinstance(error, (psycopg.OperationalError, *older)):
        return True
    # ADBC: the status is that of an input or output error.
    return getattr(getattr(error, "status_code", None), "name", None) == "IO"


def get_sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE that a driver's error carries, if any."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return str(state) if state else None


def find_sqlstate(dsn: str) -> str | None:
    """Return why the server refuses a connection, as a SQLSTATE; None where it accepts one or says nothing.

    libpq keeps the SQLSTATE of a refused connection to itself, but writes it into a trace of the messages. Only Linux
    has that; elsewhere this returns None.
    """
    if sys.platform != "linux":
        return None
    trace = os.memfd_create("chandlery-trace")
    try:
        _attempt(dsn, trace)
        os.lseek(trace, 0, os.SEEK_SET)
        messages = os.read(trace, 1 << 20)
    finally:
        os.close(trace)
    for message in messages.split(b"\n"):
        fields = message.split(b"\t")
        if len(fields) > 3 and fields[2] == b"ErrorResponse":
            # The fields of the message, each a letter and a text in quotes; the server writes C before any free text.
            code = fields[3].partition(b' C "')[2][:5]
            return code.decode("ascii", "replace") or None
    return None


def passwords_of_dsn(dsn: str) -> list[str]:
    """Return the passwords in a libpq connection string."""
    return [str(value) for name, value in conninfo.conninfo_to_dict(dsn).items() if "password" in name and value]


def _attempt(dsn: str, trace: int) -> None:
    """Try to connect, and let libpq write the messages to the file descriptor ``trace``."""
    connection = pq.PGconn.connect_start(dsn.encode())
    try:
        if connection.status == pq.ConnStatus.BAD:
            return
        connection.trace(trace)
        connection.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS)
        while (status := connection.connect_poll()) in {pq.PollingStatus.READING, pq.PollingStatus.WRITING}:
            poller = select.poll()
            poller.register(connection.socket, select.POLLIN if status == pq.PollingStatus.READING else select.POLLOUT)
            if not poller.poll(10_000):
                break
        connection.untrace()
    finally:
        connection.finish()


def _is_failed_attempt(error: BaseException, dsn: str) -> bool:
    """Return whether ``error`` was raised because no connection could be made."""
    if not isinstance(error, psycopg.OperationalError):
        return False
    # The driver looks a host's name up by itself, and then its error is like one of a connection that was lost.
    return error.pgconn is not None or (error.sqlstate is None and bool(dsn) and find_addresses(dsn) is None)


def _text_of(error: BaseException) -> str:
    """Return the server's message as one line, without the statement where the driver keeps the two apart."""
    message = getattr(getattr(error, "diag", None), "message_primary", None)
    detail = getattr(getattr(error, "diag", None), "message_detail", None)
    return " ".join((f"{message} ({detail})" if message and detail else str(message or error)).split())


def _sentence(what: str, text: str, advice: str) -> str:
    return f"{what}: {text.removesuffix('.')}; {advice}"

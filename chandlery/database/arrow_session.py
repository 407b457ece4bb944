"""One connection of ADBC, by its own functions.

Its DB-API wrapper does the same, and imports polars, pandas and Arrow's data sets for it, which takes longer than a
short read. Not here: which settings a session has (``connect``), and connections that are kept (``arrow_pool``).
"""

from __future__ import annotations

from contextlib import closing

import adbc_driver_manager
import adbc_driver_postgresql
import pyarrow as pa
from adbc_driver_manager._lib import _blocking_call as cancellable
from adbc_driver_manager._reader import AdbcRecordBatchReader


class ArrowSession:
    """A session that runs queries in transactions and returns their rows as Arrow. Of one thread at a time.

    Args:
        dsn: libpq connection string.

    Raises:
        adbc_driver_manager.Error: the server cannot be reached, or refuses.
    """

    def __init__(self, dsn: str) -> None:
        self._database = adbc_driver_postgresql.connect(dsn)
        try:
            self._connection = adbc_driver_manager.AdbcConnection(self._database)
            self._connection.set_autocommit(False)
        except BaseException:
            self._database.close()
            raise

    def query(self, text: str) -> pa.Table:
        """Return the rows of a query without parameters; it begins a transaction where none has begun.

        Ctrl-C cancels it.

        Raises:
            adbc_driver_manager.Error: the server refused the query, or ended the connection.
        """
        with adbc_driver_manager.AdbcStatement(self._connection) as statement:
            statement.set_sql_query(text)
            cancellable(statement.prepare, (), {}, statement.cancel)
            stream, _ = cancellable(statement.execute_query, (), {}, statement.cancel)
            # Unlike Arrow's own reader, it raises an error on the way as the driver's.
            with closing(AdbcRecordBatchReader._import_from_c(stream.address)) as reader:  # noqa: SLF001
                return cancellable(reader.read_all, (), {}, statement.cancel)

    def see(self, snapshot: str) -> None:
        """Begin a transaction that sees the state which another session exported under this name.

        Raises:
            adbc_driver_manager.Error: that session's transaction has ended.
        """
        for text in ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", f"SET TRANSACTION SNAPSHOT '{snapshot}'"):
            with adbc_driver_manager.AdbcStatement(self._connection) as statement:
                statement.set_sql_query(text)
                statement.execute_update()

    def commit(self) -> None:
        """End the transaction."""
        self._connection.commit()

    def close(self) -> None:
        """End the session."""
        try:
            self._connection.close()
        finally:
            self._database.close()

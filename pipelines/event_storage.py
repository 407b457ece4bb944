"""Dagster's event log in PostgreSQL, written in batches on a connection that is kept open. Named in ``dagster.yaml``.

Dagster's own storage writes each event by itself: a connection, four statements and two commits, for each of the
thousands of partitions that a run may have. This one lets the events of partitions wait for each other, for a fraction
of a second. What is stored, and in which order, is the same.

What waits is written when there is much of it or it has waited long enough, with the next event of another kind (the
end of a step or of a run, among others), before anything is read or written through this storage, and when the process
ends in any way but by SIGKILL. What a killed process had not written is repaired from the market's database, as is what
it published just before it could say so.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from weakref import WeakSet

import dagster as dg
from dagster._core.storage.event_log import AssetKeyTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.migration import ASSET_KEY_INDEX_COLS
from dagster._serdes import ConfigurableClassData
from dagster_postgres import PostgresEventLogStorage
from dagster_postgres.utils import DagsterPostgresException, create_pg_engine
from sqlalchemy import Connection, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import InterfaceError, OperationalError

from chandlery.database.forks import forget_in_children
from chandlery.redaction.logs import hide_in_logs
from pipelines.check_evaluations import store_checks
from pipelines.forget_partitions import forget_partitions
from pipelines.hidden_secrets import holds_secrets, without_secrets
from pipelines.storage_address import storage_url

_Type = dg.DagsterEventType
#: Events that come by the thousand, one or more for each partition. Lines of a run's log may wait too.
_MANY = frozenset(
    {
        _Type.ASSET_MATERIALIZATION_PLANNED,
        _Type.ASSET_CHECK_EVALUATION_PLANNED,
        _Type.ASSET_MATERIALIZATION,
        _Type.ASSET_OBSERVATION,
        _Type.ASSET_CHECK_EVALUATION,
    }
)
_OF_ASSETS = frozenset({_Type.ASSET_MATERIALIZATION_PLANNED, _Type.ASSET_MATERIALIZATION, _Type.ASSET_OBSERVATION})
_OF_CHECKS = frozenset({_Type.ASSET_CHECK_EVALUATION_PLANNED, _Type.ASSET_CHECK_EVALUATION})
#: So many are written at once, while more may join them; above the larger number, whoever brings more waits.
_MANY_EVENTS, _MOST_WAITING = 250, 2000
_LONGEST_SECONDS = 0.3
#: Readers keep a place in the log by an event's number, so numbers have to appear in order: one batch at a time.
_IN_TURN = text("SELECT pg_advisory_xact_lock(hashtext('chandlery.dagster_events'))")
#: The server cannot be reached, or cannot do it now. The events are not to blame, and wait for the next attempt.
_UNAVAILABLE = (OperationalError, InterfaceError, DagsterPostgresException)

_log = logging.getLogger(__name__)
_open: WeakSet[BatchedEventLogStorage] = WeakSet()


class BatchedEventLogStorage(PostgresEventLogStorage):
    """An event log of Dagster. All of its methods may be called from several threads.

    Args:
        postgres_url: of Dagster's database, for SQLAlchemy.
        should_autocreate_tables: whether to make the tables where they are absent.
        inst_data: where it is configured.
    """

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        hide_in_logs()  # here, because every process of Dagster has such a storage
        #: Held while events are written or read. The queue has a lock of its own, so that events may join meanwhile.
        self._lock, self._queue = threading.RLock(), threading.Lock()
        self._waiting: list[dg.EventLogEntry] = []
        self._timer: threading.Timer | None = None
        #: Number of the first event of a batch whose commit nobody confirmed, and how many events it has.
        self._uncertain: tuple[int, int] | None = None
        #: Of the batch that is being written, by the thread that holds the lock.
        self._writing: Connection | None = None
        super().__init__(postgres_url, should_autocreate_tables, inst_data)
        # Holds one connection; as many as are needed at once come and go.
        self._engine = create_pg_engine(
            self.postgres_url,
            isolation_level="AUTOCOMMIT",
            pool_size=1,
            max_overflow=-1,
            pool_recycle=3600,
            pool_pre_ping=True,
        )
        _open.add(self)
        forget_in_children(self)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> BatchedEventLogStorage:
        """Return the storage that ``dagster.yaml`` describes, as it describes Dagster's own."""
        tables = config_value.get("should_autocreate_tables", True)
        return cls(storage_url(config_value), tables, inst_data)

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store an event, now or soon."""
        with self._queue:
            self._waiting.append(event)
            count = len(self._waiting)
        if count >= _MOST_WAITING or not _may_wait(event):
            self.flush()
        else:
            self._wait(_LONGEST_SECONDS if count < _MANY_EVENTS else 0)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store events, now or soon."""
        for event in events:
            self.store_event(event)

    def wipe_asset_partitions(self, asset_key: dg.AssetKey, partition_keys: Sequence[str]) -> None:
        """Take partitions off the index of assets; the runs keep their logs."""
        forget_partitions(self, asset_key, partition_keys)

    def flush(self) -> None:
        """Write all that waits; what cannot be written now keeps waiting.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the server is not available, or it refuses an event, which is then dropped.
        """
        with self._lock:
            with self._queue:
                if self._timer is not None:
                    self._timer.cancel()
                    self._timer = None
            if not self._waiting:
                return
            try:
                self._write(len(self._waiting))
            except _UNAVAILABLE:
                self._wait()
                raise
            except Exception:  # noqa: BLE001 - whatever it is, it must not keep the other events from being stored
                self._write_singly()

    def dispose(self) -> None:
        """Write what waits and close the connections."""
        self._finish()
        super().dispose()
        self._engine.dispose()

    def forget(self) -> None:
        """Be as new, in a child that was forked: what waits is the parent's to write."""
        self._lock, self._queue = threading.RLock(), threading.Lock()
        self._timer, self._writing = None, None
        self._waiting, self._uncertain = [], None
        self._engine.dispose(close=False)  # psycopg2 leaves alone what another process opened

    def _connect(self) -> AbstractContextManager[Connection]:
        # Everything that Dagster does with this storage begins here.
        with self._lock:
            if self._writing is not None:  # in this thread, which holds the lock: a part of writing the batch
                return nullcontext(self._writing)
            self.flush()
        return super()._connect()

    def _wait(self, seconds: float = _LONGEST_SECONDS) -> None:
        """Have what waits written after ``seconds``, in a thread of its own."""
        with self._queue:
            if self._timer is not None and seconds < self._timer.interval:
                self._timer.cancel()
                self._timer = None
            if self._timer is None:
                self._timer = threading.Timer(seconds, self._flush_late)
                self._timer.daemon = True
                self._timer.start()

    def _flush_late(self) -> None:
        try:
            self.flush()
        except Exception as error:  # noqa: BLE001 - what waits is tried again; whoever stores the next event hears of it
            _log.warning("events of a run could not be stored yet: %s", error)

    def _finish(self) -> None:
        try:
            self.flush()
        except Exception:  # noqa: BLE001 - nobody is left to whom it could be raised
            _log.exception("%d events of a run could not be stored", len(self._waiting))

    def _write_singly(self) -> None:
        """Write each event by itself, and raise at the end what the first that is refused was refused for."""
        refused: Exception | None = None
        while self._waiting:
            try:
                self._write(1)
            except _UNAVAILABLE:
                self._wait()
                raise
            except Exception as error:  # noqa: BLE001 - raised below
                refused = refused or error
                del self._waiting[0]
        if refused is not None:
            raise refused

    def _write(self, count: int) -> None:
        """Write the first ``count`` events that wait, in one transaction; fewer where some turn out to be stored."""
        with super()._connect() as kept:
            connection = kept.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                self._writing = connection
                try:
                    connection.execute(_IN_TURN)  # by now, a commit that nobody confirmed has come about or never will
                    count -= self._drop_stored(connection)
                    first = self._insert(connection, self._waiting[:count]) if count > 0 else None
                finally:
                    self._writing = None
                self._uncertain = (first, count) if first is not None else None
        self._uncertain = None
        del self._waiting[: max(count, 0)]

    def _drop_stored(self, connection: Connection) -> int:
        """Let go of the batch whose commit nobody confirmed, if it was stored; return how many events that were."""
        if self._uncertain is None:
            return 0
        (first, count), self._uncertain = self._uncertain, None
        table = SqlEventLogStorageTable
        if connection.execute(select(table.c.id).where(table.c.id == first)).first() is None:
            return 0
        del self._waiting[:count]
        return count

    def _insert(self, connection: Connection, events: Sequence[dg.EventLogEntry]) -> int:
        """Insert the events and all that Dagster's own storage derives from them; return the first one's number."""
        rows = [self._event_to_row(event) for event in events]
        if holds_secrets(*(row["event"] for row in rows)):
            events = [without_secrets(event) for event in events]
            rows = [self._event_to_row(event) for event in events]
        insert = SqlEventLogStorageTable.insert()
        numbers = connection.execute(insert.returning(SqlEventLogStorageTable.c.id, sort_by_parameter_order=True), rows)
        numbered = list(zip(numbers.scalars(), events, strict=True))
        of_assets = [(number, event) for number, event in numbered if _is(event, _OF_ASSETS)]
        if of_assets:
            self._store_asset_event_tags(connection, [event for _, event in of_assets], [n for n, _ in of_assets])
            self._update_assets(connection, of_assets)
        of_checks = [(number, event) for number, event in numbered if _is(event, _OF_CHECKS)]
        store_checks(connection, of_checks, self.store_asset_check_event)
        first: int = numbered[0][0]
        return first

    def _update_assets(self, connection: Connection, numbered: Sequence[tuple[int, dg.EventLogEntry]]) -> None:
        """Bring each asset's row to what the events, one after the other, make of it."""
        indexed = self.has_secondary_index(ASSET_KEY_INDEX_COLS)
        assets: dict[str, dict[str, Any]] = {}
        settled: set[str] = set()
        for number, event in reversed(numbered):
            key = _asset(event)
            if key not in settled:  # a materialization sets all that earlier events could set
                assets[key] = self._get_asset_entry_values(event, number, indexed) | assets.get(key, {})
                if _is(event, {_Type.ASSET_MATERIALIZATION}):
                    settled.add(key)
        for key, values in sorted(assets.items()):
            statement = postgresql.insert(AssetKeyTable).values(asset_key=key, **values)
            connection.execute(statement.on_conflict_do_update(index_elements=[AssetKeyTable.c.asset_key], set_=values))


def _is(event: dg.EventLogEntry, kinds: frozenset[_Type] | set[_Type]) -> bool:
    return event.is_dagster_event and event.dagster_event_type in kinds


def _may_wait(event: dg.EventLogEntry) -> bool:
    """Return whether nobody waits for this event: one of many in a run, which a later event of the run follows."""
    return bool(event.run_id) and (not event.is_dagster_event or _is(event, _MANY))


def _asset(event: dg.EventLogEntry) -> str:
    key = event.get_dagster_event().asset_key
    if key is None:
        raise dg.DagsterInvariantViolationError(f"an event of an asset without its key: {event.dagster_event_type}")
    return key.to_string()


@atexit.register
def _finish_all() -> None:
    for storage in list(_open):
        storage._finish()  # noqa: SLF001 - the module's own

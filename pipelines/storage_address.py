"""Where Dagster's records are, with the password where that comes from a file; and the storage of its runs.

Not here: the storages of events (``event_storage``) and of schedules (``hidden_secrets``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster._serdes import ConfigurableClassData
from dagster_postgres import PostgresRunStorage
from dagster_postgres.utils import pg_url_from_config
from sqlalchemy.engine import make_url

from chandlery.settings import Settings


def storage_url(config_value: Mapping[str, Any]) -> str:
    """Return the address that ``dagster.yaml`` describes, for SQLAlchemy.

    A password that has a variable or a file of its own is not part of the address in the environment. It is read here,
    in each process that needs it, so that no process inherits it.

    Raises:
        ConfigurationError: the file of the password cannot be read.
    """
    url = make_url(pg_url_from_config(config_value))
    own = Settings().own_dagster_password
    if own is not None and url.password is None:
        url = url.set(password=own.get_secret_value())
    return url.render_as_string(hide_password=False)


class RunStorage(PostgresRunStorage):
    """Dagster's record of runs. Named in ``dagster.yaml``."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> RunStorage:
        """Return the storage that ``dagster.yaml`` describes, as it describes Dagster's own."""
        return cls(storage_url(config_value), config_value.get("should_autocreate_tables", True), inst_data)

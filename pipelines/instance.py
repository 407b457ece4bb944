"""Dagster's own home and storage: a folder under ``CHANDLERY_HOME`` and a database beside the market's.

Not here: serving the web UI (``serve``) and running anything (``orchestrator``).
"""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from chandlery.database.dsn import dagster_dsn, ensure_database, find_tables_in_public, sqlalchemy_url, without_password
from chandlery.settings import Settings

#: Where dagster.yaml finds the address, which our processes put there; the file itself holds no secret.
URL_VARIABLE = "CHANDLERY_DAGSTER_STORAGE"

_DAGSTER_YAML = f"""\
# Written by `chandlery init`. The address of the storage stays in the environment, its password there or in a file.
run_storage:
  module: pipelines.storage_address
  class: RunStorage
  config: &address
    postgres_url:
      env: {URL_VARIABLE}
schedule_storage:
  module: pipelines.hidden_secrets
  class: TickStorage
  config: *address
event_log_storage:
  module: pipelines.event_storage
  class: BatchedEventLogStorage
  config: *address

concurrency:
  runs:
    max_concurrent_runs: 4

# A run whose process was killed is noticed and started again once. What the gate rejected is not tried again.
run_monitoring:
  enabled: true
  poll_interval_seconds: 30
run_retries:
  enabled: true
  max_retries: 1
  retry_on_asset_or_op_failure: false

# A look at which there was nothing to do is kept for a day.
retention:
  sensor:
    purge_after_days:
      skipped: 1

# No invitation to a newsletter in front of the first page.
nux:
  enabled: false
telemetry:
  enabled: false
"""

#: For runs of the command line. What they print, they print where they run: Dagster would have each run copied by two
#: processes, which take Ctrl-C for themselves too.
_COMMAND_LINE = "command-line.yaml"
_COMMAND_LINE_YAML = f"""\
{_DAGSTER_YAML}
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""


def prepare_home(settings: Settings) -> Path:
    """Make Dagster's home and database where they are absent, and point this process at them; return the home."""
    home = settings.home / "dagster"
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)  # what is in it concerns nobody else
    home.mkdir(mode=0o700, exist_ok=True)
    if home.stat().st_uid == os.geteuid():
        home.chmod(0o700)  # whoever writes there decides which classes are loaded
    for name, content in (("dagster.yaml", _DAGSTER_YAML), (_COMMAND_LINE, _COMMAND_LINE_YAML)):
        file = home / name
        if not file.exists() or file.read_text() != content:
            new = file.with_name(f".{name}.{os.getpid()}")
            new.write_text(content)
            new.replace(file)  # whole, for whoever reads it now
    dsn = dagster_dsn(settings)
    ensure_database(dsn)
    find_tables_in_public(dsn)  # Dagster does not say where its tables are
    os.environ["DAGSTER_HOME"] = str(home)
    # A password that came by itself stays out of the environment: whoever needs it reads it (``storage_address``).
    os.environ[URL_VARIABLE] = sqlalchemy_url(dsn if settings.own_dagster_password is None else without_password(dsn))
    # Dagster stores the server's idea of the local time as UTC. libpq asks for UTC, and a pooler keeps to it, which
    # would refuse the same wish among the address's options; libpq knows no other way to say it.
    os.environ["PGTZ"] = "UTC"
    return home


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Return the installation's Dagster instance, holding its connections while this process runs.

    Outside the web server, Dagster's PostgreSQL storage connects anew for each event, which costs thrice the event.
    """
    instance = dg.DagsterInstance.from_config(str(prepare_home(settings)), _COMMAND_LINE)
    instance.optimize_for_webserver(statement_timeout=600_000, pool_recycle=3600, max_overflow=20)
    return instance

"""Dagster's daemon alone, where the code server and the web server run elsewhere: in containers.

A database has one daemon, because two would launch every run twice. So it takes the same place as ``chandlery ui``
does, shows that it lives in the same way, and ends when it loses the place. Not here: the place (``ui_lock``), and
ending what is silent (``watchdog``).
"""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Sequence

from chandlery.database.connections import Database
from chandlery.database.dsn import market_dsn
from chandlery.errors import ChandleryError
from chandlery.settings import Settings
from pipelines import serve
from pipelines.instance import prepare_home
from pipelines.launch import write_pid
from pipelines.ui_lock import daemon_lease, ui_lock


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon until SIGTERM; return 0, or 1 where it cannot go on."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.daemon", description="Run Dagster's daemon.")
    parser.add_argument("--workspace", required=True, help="workspace.yaml, which says where the code server is")
    parser.add_argument("--port", type=int, default=3000, help="port of the web UI that belongs to it, to tell others")
    parser.add_argument("--pid-file", help="where to write the number of this process")
    given = parser.parse_args(arguments)
    write_pid(given.pid_file)
    settings = Settings()
    try:
        home = prepare_home(settings)
        with (
            Database(market_dsn(settings)) as database,
            ui_lock(home, f"the daemon on {socket.gethostname()}") as lock,
            daemon_lease(database, given.port) as place,
        ):
            return serve.serve_daemon(home, given.workspace, lock=lock, place=place)
    except ChandleryError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

"""What a person dismisses is on record in the web interface at once, not at the next run."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import dagster as dg

from chandlery.app.installation import Installation
from pipelines.orchestrator import DagsterOrchestrator
from tests.integration.test_cli import InMemoryOrchestrator, Run, after_init, ready, write_days  # noqa: F401 - fixtures

DAYS = [f"2024-01-{day:02},10,12,9,{close},100" for day, close in ((2, 10), (3, 10.5), (4, 11), (5, 11.5), (8, 11))]
CHECK = dg.AssetCheckKey(dg.AssetKey("bars_1d"), "no_open_finding")


def test_a_dismissed_finding_turns_the_check_green_at_once(ready: Run, tmp_path: Path) -> None:  # noqa: F811
    with dg.DagsterInstance.ephemeral() as instance:

        class Keeping(InMemoryOrchestrator):
            def __init__(self, installation: Installation) -> None:
                DagsterOrchestrator.__init__(self, installation, lambda _: nullcontext(instance))

        def passed() -> bool:
            (newest,) = instance.event_log_storage.get_asset_check_execution_history(CHECK, limit=1)
            assert newest.event is not None
            assert newest.event.dagster_event is not None
            return bool(newest.event.dagster_event.asset_check_evaluation_data.passed)

        folder = str(write_days(tmp_path, "AAA", [*DAYS, "2024-01-09,100,120,90,110,100"]))
        load = ["ingest", "AAA", "--path", folder, "--calendar", "XNYS", "--yes"]
        assert ready(*load, orchestrator=Keeping).exit_code == 0
        assert not passed()
        for finding in json.loads(ready("findings", "list", "--json").stdout):
            number = str(finding["finding_id"])
            done = ready("findings", "dismiss", number, "--reason", "a reverse split", orchestrator=Keeping)
            assert done.exit_code == 0
        assert passed()

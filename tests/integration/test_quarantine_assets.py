"""Quarantine as Dagster shows it: the asset, the checks of what waits there, and the jobs that a person launches."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from assets.checks import GATE, PARTITIONS
from chandlery.app.installation import Installation
from chandlery.cli.app import app
from chandlery.cli.session import Session
from chandlery.core.timeframe import Timeframe
from chandlery.ingest import quarantine
from pipelines.orchestrator import DagsterOrchestrator
from pipelines.partitions import range_tags
from tests.pipeline import Workbench, failure_text, install, new_database, open_workbench, simulate, write_file
from tests.support import forget_bars

BARS = dg.AssetKey("bars_1d")
UNIVERSE = [
    {"symbol": symbol, "calendar": "XNYS", "provider": "files", "timeframes": ["1d"]}
    for symbol in ("BAD", "GOOD", "GONE")
]


@pytest.fixture(scope="module")
def shared(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """An installation for all tests: one symbol is good, ten rows of another are bad, and no folder has the third."""
    folder = tmp_path_factory.mktemp("quarantine")
    with pytest.MonkeyPatch.context() as patch, new_database(server) as url:
        installation = install(folder, url, patch, UNIVERSE)
        write_file(folder, "GOOD", Timeframe.D1, simulate(["GOOD"], Timeframe.D1, "2023-01-01", "2024-01-01"))
        with dg.DagsterInstance.ephemeral() as instance, open_workbench(installation, instance) as bench:
            yield bench


@pytest.fixture
def bench(shared: Workbench) -> Iterator[Workbench]:
    """The installation with nothing in its store, and nothing in Dagster's books."""
    with shared.installation.warehouse.connection() as connection:
        for table in ("ops.quarantine", "ops.coverage", "ops.rollup_pending", "ops.bar_window"):
            connection.execute(f"DELETE FROM {table}")  # type: ignore[call-overload]
        forget_bars(connection)
    bad(shared.installation.settings.config.parent, 10)
    with dg.DagsterInstance.ephemeral() as shared.instance:
        shared.register()
        yield shared


def bad(folder: Path, rows: int) -> None:
    write_file(folder, "BAD", Timeframe.D1, rejected(simulate(["BAD"], Timeframe.D1, "2023-01-01", "2024-01-01"), rows))


def rejected(bars: pa.Table, rows: int) -> pa.Table:
    """Return ``bars`` of which the first rows have a low above everything else."""
    lows = [low * 10 if place < rows else low for place, low in enumerate(bars["low"].to_pylist())]
    return bars.set_column(bars.schema.get_field_index("low"), bars.schema.field("low"), pa.array(lows, pa.float64()))


def execute(bench: Workbench, job: str, op: str, config: dict[str, Any]) -> dg.ExecuteInProcessResult:
    """Launch a job as the web UI does."""
    return bench.defs.resolve_job_def(job).execute_in_process(
        instance=bench.instance, run_config={"ops": {op: {"config": config}}}, raise_on_error=False
    )


def latest(bench: Workbench, check: str, partition: str | None = None) -> dg.AssetCheckEvaluation:
    """Return the newest evaluation of a check of the daily bars."""
    records = bench.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(BARS, check), limit=50
    )
    evaluations = [
        record.event.dagster_event.asset_check_evaluation_data for record in records if record.status.value != "PLANNED"
    ]
    return next(found for found in evaluations if partition is None or found.partition == partition)


def waiting(bench: Workbench) -> list[quarantine.QuarantineEntry]:
    with bench.installation.warehouse.connection() as connection:
        return quarantine.list_entries(connection)


# --- the checks


def test_the_latest_check_does_not_turn_green_while_a_partition_is_red(bench: Workbench) -> None:
    assert not bench.materialize("bars_1d", "BAD|2023").success
    assert not bench.materialize("bars_1d", "GONE|2023").success
    good = bench.materialize("bars_1d", "GOOD|2023")
    assert good.success, failure_text(good)
    assert latest(bench, GATE).passed  # of the last partition
    found = latest(bench, PARTITIONS)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert found.description == "2 partitions are red: BAD|2023, GONE|2023"
    counts = {name: found.metadata[name].value for name in ("failed partitions", "quarantined partitions")}
    assert counts == {"failed partitions": 2, "quarantined partitions": 1}
    assert [dict(record.data)["partition"] for record in found.metadata["partitions"].records] == [
        "BAD|2023",
        "GONE|2023",
    ]


def standing(bench: Workbench) -> dg.AssetCheckEvaluation:
    """Execute the check of all partitions alone, and return what it says."""
    job = bench.defs.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=set(), asset_check_selection={dg.AssetCheckKey(BARS, PARTITIONS)}
    )
    (evaluation,) = job.execute_in_process(instance=bench.instance).get_asset_check_evaluations()
    return evaluation


def test_a_partition_is_red_whose_run_died_before_the_gate_came_to_it_until_a_run_gets_there(bench: Workbench) -> None:
    bad(bench.installation.settings.config.parent, 0)
    job = bench.defs.resolve_job_def("ingest_1d")
    run = bench.instance.create_run_for_job(job, tags=range_tags("BAD", "GOOD", "2023", "2023"))
    assert standing(bench).passed, "it may still get there"
    bench.instance.report_run_failed(run, "its process was killed")
    found = standing(bench)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert found.description == "2 partitions are red: BAD|2023, GOOD|2023"
    assert bench.materialize("bars_1d", "GOOD|2023").success
    assert latest(bench, PARTITIONS).description == "1 partition is red: BAD|2023"
    assert bench.materialize("bars_1d", "BAD|2023").success
    assert latest(bench, PARTITIONS).passed


def test_a_partition_that_a_run_left_alone_is_not_red_because_another_failed(bench: Workbench) -> None:
    strangers = range_tags("BAD", "GONE", "2023", "2023")
    assert not bench.materialize("bars_1d", config={"symbols": ["GONE"]}, tags=strangers).success
    assert latest(bench, PARTITIONS).description == standing(bench).description == "1 partition is red: GONE|2023"


def test_the_history_of_the_gate_names_partition_rule_and_rows(bench: Workbench) -> None:
    bench.materialize("bars_1d", "BAD|2023")
    found = latest(bench, GATE)
    assert (found.passed, found.severity, found.partition) == (False, dg.AssetCheckSeverity.ERROR, "BAD|2023")
    assert found.description is not None
    assert found.description.startswith("BAD|2023: 250 of 250 rows rejected (")
    assert found.metadata["partition"].value == "BAD|2023"
    assert "low_is_lowest" in str(found.metadata["broken rules"].value)
    assert (found.metadata["rows"].value, found.metadata["rejected rows"].value) == (250, 250)


def test_one_rejected_row_is_a_warning_and_its_partition_is_materialized(bench: Workbench) -> None:
    bad(bench.installation.settings.config.parent, 1)
    assert bench.materialize("bars_1d", "BAD|2023").success
    assert bench.materialized("bars_1d") == {"BAD|2023"}
    found = latest(bench, GATE)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "1 of 250 rows rejected" in str(found.description)
    found = latest(bench, PARTITIONS)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description == "1 row of a published partition waits in quarantine"


@pytest.mark.parametrize("check", [GATE, PARTITIONS])
def test_a_check_that_is_executed_alone_says_how_the_partitions_stand(bench: Workbench, check: str) -> None:
    bench.materialize("bars_1d", "BAD|2023")
    job = bench.defs.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=set(), asset_check_selection={dg.AssetCheckKey(BARS, check)}
    )
    result = job.execute_in_process(instance=bench.instance, raise_on_error=False)
    assert result.success, failure_text(result)
    (evaluation,) = result.get_asset_check_evaluations()
    assert (evaluation.check_name, evaluation.passed) == (check, False)
    assert evaluation.description == "1 partition is red: BAD|2023"
    assert ("nothing to audit" in str(evaluation.metadata.get("note"))) == (check == GATE)


# --- the asset and the jobs


def test_quarantine_is_an_asset_that_lists_what_waits_after_each_run_that_changed_it(bench: Workbench) -> None:
    bench.materialize("bars_1d", "BAD|2023")
    event = bench.instance.get_latest_materialization_event(dg.AssetKey("quarantine"))
    assert event is not None
    metadata = event.asset_materialization.metadata
    assert (metadata["entries"].value, metadata["dagster/row_count"].value) == (1, 250)
    (record,) = metadata["waiting"].records
    assert (record.data["entry"], record.data["partition"]) == (waiting(bench)[0].quarantine_id, "BAD|2023")
    assert bench.materialize("quarantine").success


def test_releasing_from_the_ui_materializes_the_partition_and_turns_it_green(bench: Workbench) -> None:
    bench.materialize("bars_1d", "BAD|2023")
    (entry,) = waiting(bench)
    config = {"entry": entry.quarantine_id, "reason": "typing error", "released_by": "Ann", "good_rows_only": True}
    assert execute(bench, "release_quarantined", "release_entry", config).success
    assert bench.materialized("bars_1d") == {"BAD|2023"}
    assert "was released: typing error" in str(latest(bench, GATE, "BAD|2023").description)
    assert latest(bench, PARTITIONS).passed
    assert bench.scalar("SELECT released_by FROM ops.quarantine") == "Ann"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"entry": 99, "reason": "x"}, "quarantine has no entry 99"),
        ({"entry": 1, "reason": " "}, "reason is blank"),
        ({"entry": 1, "reason": {"env": "HOME"}}, "reason: a run does not take values from environment variables"),
    ],
)
def test_a_release_that_cannot_be_says_why(bench: Workbench, config: dict[str, Any], said: str) -> None:
    result = execute(bench, "release_quarantined", "release_entry", config)
    assert not result.success
    assert said in failure_text(result)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"provider": {"env": "A_KEY"}}, "ops.bars_1d.config.provider: a run does not take values from environment"),
        ({"replay_since": {"env": "A_KEY"}}, "ops.bars_1d.config.replay_since: a run does not take values"),
        ({"symbols": ["BAD", {"env": "A_KEY"}]}, "ops.bars_1d.config.symbols.1: a run does not take values"),
        ({"ranges": {"BAD": ["2023-01-01"]}}, "ranges: BAD: ['2023-01-01'] is not a range; write"),
        ({"ranges": {"BAD": ["2023-02-01", "2023-01-01"]}}, "the end, which is exclusive, has to be after the start"),
        ({"ranges": {"BAD": ["2023-02-01", "soon"]}}, "ranges: BAD='soon' is not"),
        ({"symbols": ["NOSUCH"]}, "symbols: NOSUCH: not registered"),
        ({"max_rejected_share": 5.0}, "max_rejected_share=5.0"),
        ({"replay_since": "soon"}, "replay_since='soon'"),
    ],
)
def test_a_choice_that_is_not_allowed_ends_the_run_with_a_sentence(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], said: str
) -> None:
    monkeypatch.setenv("A_KEY", "the-content-of-a-key")
    result = bench.materialize("bars_1d", "BAD|2023", config=config)
    assert not result.success
    assert said in failure_text(result)
    events = bench.instance.all_logs(result.run_id)
    assert not [event for event in events if "the-content-of-a-key" in f"{event}"]
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None  # a sentence, not a traceback
    assert [event for event in result.all_events if event.is_step_up_for_retry] == []


def test_releasing_on_the_command_line_materializes_the_partition_and_what_derives_from_it(bench: Workbench) -> None:
    bench.materialize("bars_1d", "BAD|2023")
    number = str(waiting(bench)[0].quarantine_id)

    def orchestrator(installation: Installation) -> DagsterOrchestrator:
        return DagsterOrchestrator(installation, lambda _: nullcontext(bench.instance))

    command = ["quarantine", "release", number, "--reason", "typing error", "--good-rows-only"]
    done = CliRunner().invoke(app, command, obj=Session(orchestrator))
    assert done.exit_code == 0, done.output
    assert bench.materialized("bars_1d") == {"BAD|2023"}
    assert bench.materialized("bars_1w") == bench.materialized("bars_1mo") == {"BAD|2023"}
    assert latest(bench, PARTITIONS).passed


def test_what_landed_is_replayed_from_the_ui(bench: Workbench) -> None:
    nothing = execute(bench, "replay_landed", "replay_answers", {"provider": "files", "timeframe": "1d"})
    assert nothing.success
    unknown = execute(bench, "replay_landed", "replay_answers", {"provider": "files", "symbols": ["GOOD"]})
    assert "nothing landed of 1d from files" in failure_text(unknown)
    wrong = execute(bench, "replay_landed", "replay_answers", {"provider": "nobody"})
    assert "nobody" in failure_text(wrong)


def test_a_run_is_tagged_with_what_it_is_for_however_it_was_launched(bench: Workbench) -> None:
    run = bench.instance.get_run_by_id(bench.materialize("bars_1d", "GOOD|2023").run_id)
    assert run is not None
    tags = {name: run.tags.get(f"chandlery/{name}") for name in ("timeframe", "symbols", "provider")}
    assert tags == {"timeframe": "1d", "symbols": "GOOD", "provider": "files"}

"""Dagster's definitions as text, for comparison with ``definitions.json``.

Run ``python -m tests.golden.definitions`` to write the file anew, and look at the difference before you commit it.
Not here: whether the definitions work (``tests/integration/test_assets.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from chandlery.app.configuration import Configuration
from pipelines.definitions import build_defs

GOLDEN = Path(__file__).with_name("definitions.json")
_CONFIG = Path(__file__).parent.parent.parent / "config"


def describe_shipped() -> str:
    """Return what Dagster sees of the configuration that comes with the project."""
    return describe(build_defs(Configuration(_CONFIG)))


def describe(defs: dg.Definitions) -> str:
    """Return assets, jobs, schedules and sensors as JSON, sorted by name."""
    repository = defs.get_repository_def()
    description = {
        "assets": _assets(repository),
        "jobs": _jobs(repository),
        "schedules": {
            schedule.name: {
                "cron": schedule.cron_schedule,
                "description": schedule.description,
                "zone": schedule.execution_timezone or "UTC",
                "job": schedule.job_name,
                "default": schedule.default_status.value,
            }
            for schedule in repository.schedule_defs
        },
        "sensors": {
            sensor.name: {
                "kind": sensor.sensor_type.value,
                "description": sensor.description,
                "seconds": sensor.minimum_interval_seconds,
                "jobs": sorted(target.job_name for target in sensor.targets if sensor.has_jobs),
                "default": sensor.default_status.value,
            }
            for sensor in repository.sensor_defs
        },
    }
    return json.dumps(description, indent=2, sort_keys=True) + "\n"


def _assets(repository: dg.RepositoryDefinition) -> dict[str, Any]:
    graph = repository.asset_graph
    checks = [(check.asset_key, check.name) for check in graph.asset_check_keys]
    return {
        key.to_user_string(): {
            "group": node.group_name,
            "description": node.description,
            "owners": sorted(node.owners),
            "kinds": sorted(node.kinds or ()),
            "tags": {name: value for name, value in node.tags.items() if not name.startswith("dagster/kind")},
            "code version": node.code_version,
            "metadata": _metadata(node.metadata),
            "deps": sorted(parent.to_user_string() for parent in node.parent_keys),
            "partitions": _partitions(node.partitions_def),
            "checks": sorted(name for of, name in checks if of == key),
            "automated": node.automation_condition is not None,
            "external": not node.is_materializable,
        }
        for key in graph.get_all_asset_keys()
        if (node := graph.get(key))
    }


def _metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the catalog says of an asset; of its code only the file, and of its columns only names and types."""
    shown: dict[str, Any] = {}
    for name, given in metadata.items():
        value = getattr(given, "value", given)
        if name == "dagster/column_schema":
            shown[name] = {column.name: column.type for column in getattr(given, "schema", given).columns}
        elif name == "dagster/code_references":
            shown[name] = [Path(reference.file_path).name for reference in given.code_references]
        else:
            shown[name] = str(value)
    return shown


def _partitions(partitions: dg.PartitionsDefinition[str] | None) -> dict[str, str] | str | None:
    if isinstance(partitions, dg.MultiPartitionsDefinition):
        return {dimension.name: _dimension(dimension.partitions_def) for dimension in partitions.partitions_defs}
    return None if partitions is None else _dimension(partitions)


def _dimension(partitions: dg.PartitionsDefinition[str]) -> str:
    if isinstance(partitions, dg.DynamicPartitionsDefinition):
        return f"dynamic {partitions.name}"
    assert isinstance(partitions, dg.TimeWindowPartitionsDefinition)
    return (
        f"{partitions.cron_schedule} from {partitions.start:%Y-%m-%d},"
        f" as {partitions.fmt}, with {partitions.end_offset} under way"
    )


def _jobs(repository: dg.RepositoryDefinition) -> dict[str, Any]:
    jobs = (repository.get_job(name) for name in repository.job_names if not name.startswith("__"))
    return {
        job.name: {
            "assets": sorted(key.to_user_string() for key in job.asset_layer.selected_asset_keys),
            "partitions": _partitions(job.partitions_def),
            "executor": job.executor_def.name,
            "description": job.description,
            "tags": dict(job.tags),
        }
        for job in jobs
    }


if __name__ == "__main__":
    GOLDEN.write_text(describe_shipped(), encoding="utf-8")

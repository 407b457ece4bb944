"""Takes secrets out of what Dagster stores: events, their metadata, logs of runs, and errors of ticks.

Not here: what a secret is (``chandlery.redaction.text``), and how events are stored (``event_storage``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from dagster._core.scheduler.instigation import InstigatorTick, TickData
from dagster._serdes import ConfigurableClassData, deserialize_value, serialize_value
from dagster_postgres import PostgresScheduleStorage

from chandlery.redaction.text import hide_within, holds_secret
from pipelines.storage_address import storage_url

T = TypeVar("T")
#: What tells things apart is no text for people, and has to stay as it is: otherwise years would become one partition.
_IDENTITIES = frozenset(
    {
        *("__class__", "__enum__", "asset_key", "asset_check_key", "partition", "partitions", "tags", "run_id"),
        *("step_key", "step_handle", "node_handle", "job_name", "pipeline_name", "check_name", "event_type_value"),
        *("run_ids", "run_keys", "cursor", "tick_id", "instigator_name", "instigator_origin_id", "selector_id"),
    }
)


def without_secrets(value: T) -> T:
    """Return what Dagster can store, such as an event or a tick, with stars for the secrets in its texts."""
    stored = serialize_value(value)  # type: ignore[arg-type]
    return (
        cast("T", deserialize_value(json.dumps(hide_within(json.loads(stored), _IDENTITIES))))
        if holds_secrets(stored)
        else value
    )


def holds_secrets(*stored: str) -> bool:
    """Whether there is a secret in what Dagster is about to store, as JSON. Many at once cost little more than one."""
    # As the texts are before they become JSON.
    return holds_secret([text.replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\") for text in stored])


class TickStorage(PostgresScheduleStorage):
    """Dagster's record of schedules and sensors, in which errors hold no secret. Named in ``dagster.yaml``."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> TickStorage:
        """Return the storage that ``dagster.yaml`` describes, as it describes Dagster's own."""
        return cls(storage_url(config_value), config_value.get("should_autocreate_tables", True), inst_data)

    def create_tick(self, tick_data: TickData) -> InstigatorTick:
        """Store a tick that begins."""
        return super().create_tick(without_secrets(tick_data))

    def update_tick(self, tick: InstigatorTick) -> InstigatorTick:
        """Store what became of a tick."""
        return super().update_tick(InstigatorTick(tick.tick_id, without_secrets(tick.tick_data)))

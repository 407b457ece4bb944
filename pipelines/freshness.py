"""The sensor that evaluates whether bars are up to date, also while nothing is ingested.

Not here: what up to date means (``chandlery.coverage.freshness``), and what the check says (``assets.freshness``).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg

from assets.freshness import evaluate_freshness
from chandlery.core.timeframe import INGESTED
from resources.store import StoreResource

NAME = "freshness"


def _utc_now() -> datetime:
    return datetime.now(UTC)


def build_freshness_sensor(clock: Callable[[], datetime] = _utc_now) -> dg.SensorDefinition:
    """Return the sensor; ``clock`` tells the present, UTC."""

    @dg.sensor(
        name=NAME,
        minimum_interval_seconds=900,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Evaluates the check up_to_date: which symbols are behind by the time of their newest bar.",
    )
    def freshness(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.SensorResult | dg.SkipReason:
        before: dict[str, str] = json.loads(context.cursor or "{}")
        found = {base.table: evaluate_freshness(store.installation, base, clock()) for base in INGESTED}
        # A result that is as it was is not stored again.
        now = {name: _fingerprint(evaluation) for name, evaluation in found.items()}
        changed = [evaluation for name, evaluation in found.items() if now[name] != before.get(name)]
        if not changed:
            return dg.SkipReason("nothing changed: the same symbols are behind, or none")
        return dg.SensorResult(asset_events=changed, cursor=json.dumps(now, sort_keys=True))

    return freshness


def _fingerprint(evaluation: dg.AssetCheckEvaluation) -> str:
    table = evaluation.metadata.get("behind")
    rows = [dict(record.data) for record in table.records] if isinstance(table, dg.TableMetadataValue) else []
    return json.dumps([evaluation.description, rows])

"""The jobs that derive from a timeframe and that look after the store and the lake, and the names of all jobs.

Gated ingestion and derivation are separate jobs, because in one run a single rejected partition would keep everything
from being derived. Not here: the jobs that ingest, which are no more than a selection of assets (``definitions``), and
when jobs run (``schedules``, ``sensors``).
"""

from typing import Any

import dagster as dg

from assets.quarantine import release_entry
from assets.replay import replay_answers
from assets.rollups import build_follow
from assets.tiers import archive_windows, compress_store, delete_retired_files, prune_windows
from chandlery.core.timeframe import INGESTED, Timeframe
from resources.store import StoreResource


def ingest_job_name(timeframe: Timeframe) -> str:
    """Return the name of the job that ingests ``timeframe``."""
    return f"ingest_{timeframe.value}"


def build_ingest_job(timeframe: Timeframe) -> Any:  # noqa: ANN401 - Dagster's type of it is private
    """Return the job that ingests ``timeframe``."""
    return dg.define_asset_job(
        ingest_job_name(timeframe),
        dg.AssetSelection.assets(timeframe.table),
        description=f"Requests {timeframe.value} bars, audits and publishes them, one partition or a rectangle.",
        tags={"chandlery/timeframe": timeframe.value},
    )


def derive_job_name(base: Timeframe) -> str:
    """Return the name of the job that derives whatever is stale of ``base``."""
    return f"derive_from_{base.value}"


def build_derive_jobs() -> list[dg.JobDefinition]:
    """Return the jobs that derive whatever is stale."""
    jobs = []
    for base in INGESTED:
        graph = dg.GraphDefinition(name=derive_job_name(base), node_defs=[build_follow(base)])
        jobs.append(graph.to_job(description=f"Derives whatever is stale because {base.value} bars changed."))
    return jobs


@dg.job(
    description="Publishes what the gate rejected after all, because a person says that it is right. Its partition is"
    " materialized; derived bars follow by themselves. The asset `quarantine` lists what waits."
)
def release_quarantined() -> None:
    """Release one entry of quarantine."""
    release_entry()


@dg.job(
    description="Audits and publishes again what a provider answered before, without calling it: for example because a"
    " rule of the gate changed. Answers are kept for the time that lifecycle.yaml says."
)
def replay_landed() -> None:
    """Process landed answers again."""
    replay_answers()


@dg.op(out=dg.Out(dg.Nothing))
def make_room(context: dg.OpExecutionContext, store: StoreResource) -> None:
    """Makes table partitions ahead of need, so that publishing does not have to."""
    timeframes = store.installation.make_room()
    context.log.info(f"there is room ahead for {', '.join(timeframes)}")


@dg.job(description="Makes room ahead, compresses, archives, and prunes what the lake holds; in this order.")
def maintain() -> None:
    """Look after the store and the lake."""
    delete_retired_files(start=prune_windows(start=archive_windows(start=compress_store(start=make_room()))))

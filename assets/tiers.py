"""Where bars are: ``archive_1m`` and ``archive_1d`` in the lake; ``compression`` and ``retention`` of the store.

Each of them can run alone; the daily job runs all in order. Not here: how (``chandlery.app.maintenance``).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from assets.versions import DATA_VERSION
from chandlery.app.installation import Installation
from chandlery.app.maintenance import archive_due, clean_up, compress, prune
from chandlery.core.text import counted
from chandlery.core.timeframe import INGESTED, Timeframe
from chandlery.ingest.plan import parse_keys
from chandlery.tiers.archive import ArchivedFile
from chandlery.tiers.retention import Refusal, RetentionReport
from resources.store import StoreResource

COMPRESSION = "compression"
RETENTION = "retention"
#: More lines than anyone reads in a browser.
_SHOWN = 50


def archive_name(timeframe: Timeframe) -> str:
    """Return the name of the asset that holds the archived bars of ``timeframe``."""
    return f"archive_{timeframe.value}"


def build_archive(base: Timeframe, partitions: dg.MultiPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset of the archived bars of ``base``: symbol by month of ``1m``, year of ``1d``."""
    by_symbol = base is Timeframe.M1
    windows = partitions.get_partitions_def_for_dimension("window")

    @dg.multi_asset(
        name=archive_name(base),
        specs=[
            dg.AssetSpec(
                archive_name(base),
                deps=[base.table],
                partitions_def=partitions if by_symbol else windows,
                group_name="archive",
                kinds={"parquet"},
                skippable=True,
                description=f"{base.value} bars in the lake, once their window closed and settled.",
            )
        ],
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def archived(context: dg.AssetExecutionContext, store: StoreResource) -> Iterator[dg.AssetMaterialization]:
        keys = set(context.partition_keys)
        symbols = {symbol for symbol, _ in parse_keys(keys, base)} if by_symbol else None
        windows = {window.key for _, window in parse_keys(keys, base)} if by_symbol else keys
        for file in archive_due(store.installation, timeframes=[base], symbols=symbols, windows=windows):
            yield from (event for event in _events(store.installation, file) if event.partition in keys)

    return archived


@dg.asset(
    name=COMPRESSION,
    deps=[timeframe.table for timeframe in Timeframe],
    group_name="archive",
    kinds={"timescaledb"},
    description="Older chunks of the store, compressed where the server can.",
)
def compression(store: StoreResource) -> dg.MaterializeResult[None]:
    """Compress the chunks that are old enough."""
    return dg.MaterializeResult(metadata=_compress(store.installation))


@dg.asset(
    name=RETENTION,
    deps=[archive_name(base) for base in INGESTED],
    group_name="archive",
    kinds={"postgres"},
    description="Windows leave the store when the lake provably holds them, as they are now.",
)
def retention(store: StoreResource) -> Iterator[dg.MaterializeResult[None]]:
    """Delete from the store the windows whose time there is over, if the lake holds them as they are now."""
    reports = list(prune(store.installation))
    yield dg.MaterializeResult(metadata=_retention_metadata(reports))
    _raise_refusals(reports)


@dg.op(out=dg.Out(dg.Nothing), ins={"start": dg.In(dg.Nothing)})
def compress_store(store: StoreResource) -> Iterator[dg.AssetMaterialization | dg.Output[None]]:
    """Compresses older chunks, where the server can."""
    yield dg.AssetMaterialization(COMPRESSION, metadata=_compress(store.installation))
    yield dg.Output(None)


@dg.op(out=dg.Out(dg.Nothing), ins={"start": dg.In(dg.Nothing)})
def archive_windows(store: StoreResource) -> Iterator[dg.AssetMaterialization | dg.Output[None]]:
    """Writes to the lake the windows that closed and settled, and records the partitions it wrote."""
    for file in archive_due(store.installation):
        yield from _events(store.installation, file)
    yield dg.Output(None)


@dg.op(out=dg.Out(dg.Nothing), ins={"start": dg.In(dg.Nothing)})
def prune_windows(store: StoreResource) -> Iterator[dg.AssetMaterialization | dg.Output[None]]:
    """Deletes windows from the store that the lake provably holds; fails where one had to stay."""
    reports = list(prune(store.installation))
    yield dg.AssetMaterialization(RETENTION, metadata=_retention_metadata(reports))
    _raise_refusals(reports)
    yield dg.Output(None)


@dg.op(out=dg.Out(dg.Nothing), ins={"start": dg.In(dg.Nothing)})
def delete_retired_files(context: dg.OpExecutionContext, store: StoreResource) -> None:
    """Deletes files of the lake that were replaced long enough ago."""
    context.log.info(f"{counted(clean_up(store.installation), 'file')} deleted")


def _events(installation: Installation, file: ArchivedFile) -> Iterator[dg.AssetMaterialization]:
    """Yield a materialization of every partition in the file."""
    timeframe = file.scope.timeframe
    metadata = _archive_metadata(installation, file)
    for key in dict.fromkeys(timeframe.window_of(start).key for _, start in file.windows):
        partition = f"{file.scope.symbol}|{key}" if file.scope.symbol else key
        tags = file_tag(file.bars.path)
        yield dg.AssetMaterialization(archive_name(timeframe), partition=partition, metadata=metadata, tags=tags)


def file_tag(path: str) -> dict[str, str]:
    """Return the tag of an archived partition's materialization: the path of its file is its data version."""
    return {DATA_VERSION: path}


def _archive_metadata(installation: Installation, file: ArchivedFile) -> dict[str, Any]:
    lake = installation.warehouse.lake
    return {
        "file": lake.describe(file.bars.path),
        "version": file.version,
        "bars in the file": file.bars.row_count,
        "earlier values": file.revisions.row_count if file.revisions else 0,
        "bytes": file.bytes,
        "bytes per bar": round(file.bytes / file.bars.row_count, 2),
        "windows in the file": len(file.windows),
        "seconds": round(file.seconds, 3),
    }


def _compress(installation: Installation) -> dict[str, Any]:
    compressions = list(compress(installation))
    shown: dict[str, Any] = {
        "chunks": len(compressions),
        "bytes before": sum(compressed.chunk.bytes for _, compressed in compressions),
        "bytes after": sum(compressed.bytes for _, compressed in compressions),
    }
    if not installation.warehouse.edition.compresses:
        shown["note"] = f"{installation.warehouse.edition.name}: {installation.warehouse.edition.meaning}"
    return shown


def _retention_metadata(reports: Sequence[RetentionReport]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "windows released": sum(len(report.released) for report in reports),
        "windows refused": sum(len(report.refused) for report in reports),
        "partitions dropped": sum(len(report.dropped) for report in reports),
        "bytes before": sum(report.bytes_before for report in reports),
        "bytes after": sum(report.bytes_after for report in reports),
    }
    refused = [(report.timeframe, refusal) for report in reports for refusal in report.refused][:_SHOWN]
    if refused:
        shown["refused"] = dg.MetadataValue.table([_record(timeframe, refusal) for timeframe, refusal in refused])
    return shown


def _record(timeframe: Timeframe, refusal: Refusal) -> dg.TableRecord:
    return dg.TableRecord(
        {"symbol": refusal.symbol, "timeframe": timeframe.value, "window": refusal.window, "reason": refusal.reason}
    )


def _raise_refusals(reports: Sequence[RetentionReport]) -> None:
    refused = [refusal for report in reports for refusal in report.refused]
    if refused:
        first = refused[0]
        more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
        raise dg.Failure(f"{first.symbol} {first.window} stays in the store: {first.reason}{more}", allow_retries=False)

"""What Dagster's catalog says of every asset besides its own description: owner, tags, table, columns, code version.

Not here: descriptions, groups and kinds, which stand with each asset.
"""

import dagster as dg
import pyarrow as pa

from chandlery.core.schema import STORED
from chandlery.core.timeframe import INGESTED, Timeframe

_OWNERS = ["team:market-data"]
#: Raised where an asset's bars would come out different from the same input.
_CODE_VERSION = "1"
_MEANINGS = {
    "instrument_id": "number of the instrument in market.instrument; tickers are dated aliases of it",
    "ts": "start of the bar, UTC; of a day or longer, its first session's date at 00:00",
    "open": "first price",
    "high": "highest price",
    "low": "lowest price",
    "close": "last price",
    "volume": "traded quantity; empty where the provider gives none",
    "vwap": "price averaged by volume; empty where the provider gives none",
    "trades": "number of trades; empty where the provider gives none",
    "source": "provider, its configured name and its feed, as in alpaca:sip",
    "known_at": "when the present values were learned, UTC",
}


def describe(spec: dg.AssetSpec) -> dg.AssetSpec:
    """Return ``spec`` with all that the catalog says of the asset."""
    name = spec.key.path[-1]
    described = spec.replace_attributes(owners=_OWNERS)
    if spec.group_name == "providers":
        return described
    metadata, tags = _bars(name)
    return described.replace_attributes(
        code_version=_CODE_VERSION, metadata={**spec.metadata, **metadata}, tags={**spec.tags, **tags}
    )


def _bars(name: str) -> tuple[dict[str, object], dict[str, str]]:
    """Return metadata and tags of an asset that holds bars; nothing of another."""
    layer, _, width = name.partition("_")
    if layer not in {"bars", "archive"}:
        return _OTHERS.get(name, {}), {}
    timeframe = Timeframe(width)
    where = {"bars": f"postgresql:///market.{timeframe.table}", "archive": f"lake:///{timeframe.table}"}[layer]
    metadata: dict[str, object] = {"dagster/column_schema": _columns(STORED), "dagster/uri": where}
    if layer == "bars":
        metadata["dagster/table_name"] = f"market.{timeframe.table}"
    kind = "archived" if layer == "archive" else "ingested" if timeframe in INGESTED else "derived"
    return metadata, {"timeframe": timeframe.value, "bars": kind}


def _columns(schema: pa.Schema) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                field.name,
                str(field.type.value_type if pa.types.is_dictionary(field.type) else field.type),
                description=_MEANINGS[field.name],
            )
            for field in schema
        ]
    )


_OTHERS: dict[str, dict[str, object]] = {
    "instruments": {"dagster/table_name": "market.instrument", "dagster/uri": "postgresql:///market.instrument"},
    "quarantine": {"dagster/table_name": "ops.quarantine", "dagster/uri": "postgresql:///ops.quarantine"},
    **{
        f"coverage_{base.value}": {"dagster/table_name": "ops.coverage", "dagster/uri": "postgresql:///ops.coverage"}
        for base in INGESTED
    },
}

"""Reference assets: where lineage starts (the providers) and the instruments.

Not here: bars.
"""

from collections.abc import Iterable

import dagster as dg

from chandlery.instruments.registry import list_instruments
from chandlery.ops.registrations.universe import follow_universe
from resources.store import StoreResource

SYMBOLS = "symbol"


def provider_key(name: str) -> dg.AssetKey:
    """Return the key under which a provider appears."""
    return dg.AssetKey(["provider", name])


def build_providers(names: Iterable[str]) -> list[dg.AssetSpec]:
    """Return the providers as external assets."""
    return [
        dg.AssetSpec(
            provider_key(name),
            group_name="providers",
            kinds={"source"},
            description=f"The provider `{name}` of providers.yaml.",
        )
        for name in names
    ]


@dg.asset(group_name="reference", kinds={"postgres"})
def instruments(context: dg.AssetExecutionContext, store: StoreResource) -> dg.MaterializeResult[None]:
    """Brings the database's instruments, their aliases and sessions, and Dagster's partitions to ``universe.yaml``."""
    with store.warehouse.connection() as connection:
        report = follow_universe(connection, store.warehouse, store.installation.universe.instruments)
        symbols = [instrument.symbol for instrument in list_instruments(connection)]
    register_symbols(context.instance, symbols)
    forget_symbols(context.instance, [former for former, _ in report.renamed])
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(symbols),
            "instruments": len(symbols),
            "added": ", ".join(report.added) or "-",
            "changed": ", ".join(report.changed) or "-",
            "renamed": ", ".join(f"{former} is now {symbol}" for former, symbol in report.renamed) or "-",
            "no longer in universe.yaml": ", ".join(report.removed) or "-",
            "questions": "\n".join(report.questions) or "-",
        }
    )


def register_symbols(instance: dg.DagsterInstance, symbols: Iterable[str]) -> None:
    """Make sure that each symbol is a partition; those there are keep their place. Idempotent."""
    known = set(instance.get_dynamic_partitions(SYMBOLS))
    missing = [symbol for symbol in symbols if symbol not in known]
    if missing:
        instance.add_dynamic_partitions(SYMBOLS, missing)


def forget_symbols(instance: dg.DagsterInstance, symbols: Iterable[str]) -> None:
    """Make sure that none of these is a partition any more. What was recorded of them, ``reconcile`` forgets."""
    for symbol in sorted(set(symbols) & set(instance.get_dynamic_partitions(SYMBOLS))):
        instance.delete_dynamic_partition(SYMBOLS, symbol)

"""``indicators``: which there are. Not here: what they are computed from (``chandlery.indicators``)."""

from __future__ import annotations

import typer

from chandlery.cli.options import AsJson
from chandlery.cli.output import note, number, say_json, show_table, table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Examples:\n\nchandlery indicators\n\nchandlery indicators --json")(indicators)


def indicators(*, as_json: AsJson = False) -> None:
    """Show which indicators there are, with their parameters, columns and warm-up.

    A name is followed by its parameters: MACD_12_26_9. Those that are left out have their default. The warm-up is how
    many earlier bars a value depends on; DataAPI.get_ohlc_with_indicators reads them.
    """
    from chandlery.indicators.registry import describe_parameters, list_indicators, parse  # noqa: PLC0415 - slow to import

    found = [(one, parse(one.name)) for one in list_indicators()]
    if as_json:
        say_json(
            [
                {
                    "name": one.name,
                    "about": one.about,
                    "parameters": [
                        {"name": each.name, "default": each.default, "least": each.least, "most": each.most}
                        for each in one.parameters
                    ],
                    "columns": default.columns,
                    "inputs": list(one.inputs),
                    "warmup": default.warmup,
                    "counted_from": one.counted_from,
                }
                for one, default in found
            ]
        )
        return
    names = ["name", "parameters", "columns", "inputs", "warm-up", "what it is"]
    grid = table(
        *names,
        left=[name for name in names if name != "warm-up"],
        folded=["what it is", "columns"],
        keys=["name", "parameters", "what it is"],
    )
    for one, default in found:
        depth = number(default.warmup) if one.counted_from == "warm-up" else one.counted_from
        parameters = "" if not one.parameters else describe_parameters(one)
        grid.add_row(one.name, parameters, " ".join(default.columns), " ".join(one.inputs), depth, one.about)
    show_table(grid)
    note("Columns and warm-up, in bars, are those of the defaults.")

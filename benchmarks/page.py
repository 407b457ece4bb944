"""``python -m benchmarks.page``: writes all rows of the last whole run into ``docs/performance.md``.

What stands between the two marks there is replaced; the rest of the page is a person's. Not here: measuring.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

BEGIN, END = "<!-- all rows of a run: python -m benchmarks.page -->", "<!-- end of all rows -->"
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
_RESULTS = Path(__file__).parent / "results"


def main(
    result: Annotated[
        Path | None,
        typer.Argument(help="A file of benchmarks/results; by default the newest of those with most parts."),
    ] = None,
) -> None:
    """Write all rows of a run of ``make bench`` into docs/performance.md."""
    chosen = result or find_whole(_RESULTS)
    PAGE.write_text(replace_rows(PAGE.read_text(encoding="utf-8"), json.loads(chosen.read_text())), encoding="utf-8")
    typer.echo(f"{PAGE} has all rows of {chosen}")


def find_whole(folder: Path) -> Path:
    """Return the newest of the results that have most parts."""
    parts = {path: len(json.loads(path.read_text())["results"]) for path in sorted(folder.glob("*.json"))}
    if not parts:
        raise typer.BadParameter(f"{folder} has no result; run `make bench` first")
    return max(parts, key=lambda path: (parts[path], path.name))


def replace_rows(page: str, run: Mapping[str, Any]) -> str:
    """Return ``page`` with all rows of ``run`` between the marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise typer.BadParameter(f"the page has no line {BEGIN!r}, or no line {END!r} after it")
    return f"{before}{BEGIN}\n\n" + "\n".join(_lines(run)) + f"\n\n{END}{after}"


def _lines(run: Mapping[str, Any]) -> Iterator[str]:
    when = datetime.fromisoformat(run["measured_at"])
    yield (
        f"Measured on {when:%Y-%m-%d} with Python {run['python']} on {run['machine']}: {run['rows']:,} bars,"
        f" {run['repeat']} rounds; medians, and from the least to the most."
    )
    for section in (section for sections in run["results"].values() for section in sections):
        yield from ("", f"### {section['title']}")
        if section["comparisons"]:
            yield from ("", "| what | against | ratio of rates | from, to | goal | |", "|---|---|---|---|---|---|")
            for each in section["comparisons"]:
                least, most = min(each["ratios"]), max(each["ratios"])
                cells = (
                    each["name"],
                    each["against"],
                    _ratio(each["median_ratio"]),
                    f"{_ratio(least)}, {_ratio(most)}",
                    "" if each["aim"] is None else f"{_ratio(each['aim'])} or more",
                    {None: "", True: "met", False: "missed"}[each["is_met"]],
                )
                yield f"| {' | '.join(map(_cell, cells))} |"
        if section["measures"]:
            yield from ("", "| what | time | from, to | rate |", "|---|---|---|---|")
            for each in section["measures"]:
                times = each["seconds"]
                rate = f"{each['count'] / each['median_seconds']:,.0f} {each['unit']}/s" if each["unit"] else ""
                span = f"{_time(min(times))}, {_time(max(times))}"
                cells = (_noted(each), _time(each["median_seconds"]), span, rate)
                yield f"| {' | '.join(map(_cell, cells))} |"
        if section["facts"]:
            yield ""
            yield from (f"- {name}: {_fact(value)}" for name, value in section["facts"].items())


def _noted(measure: Mapping[str, Any]) -> str:
    return f"{measure['name']} ({measure['note']})" if measure["note"] else str(measure["name"])


def _ratio(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def _fact(value: object) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_fact(each)}" for name, each in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    typer.run(main)

"""``cache`` and ``cache clear``: what is kept of what was read. Not here: finding out (``chandlery.cache.usage``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import typer

from chandlery.cache.usage import PlaceUsage, read_usage
from chandlery.cache.usage import clear as clear_places
from chandlery.cli.options import AsJson
from chandlery.cli.output import columns_of, say, say_json, size
from chandlery.cli.session import Session
from chandlery.core.text import counted

app = typer.Typer(
    invoke_without_command=True,
    help="Show what is kept of what was read, on disk and in Redis, and remove it. Reads do the rest by themselves.",
    epilog="Examples:\n\nchandlery cache\n\nchandlery cache --json\n\nchandlery cache clear",
)


def register(commands: typer.Typer) -> None:
    """Add the group."""
    commands.add_typer(app, name="cache")


@app.callback()
def show(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """Show what is kept of what was read, on disk and in Redis, and remove it. Reads do the rest by themselves."""
    if ctx.invoked_subcommand is None:
        _report(ctx, as_json=as_json)


@app.command(epilog="Example: chandlery cache clear")
def clear(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """Remove everything: of other processes too, and in Redis of other machines. The next reads take longer."""
    clear_places(Session.of(ctx).settings)
    places = _report(ctx, as_json=as_json)
    if any(place.trouble for place in places):
        raise typer.Exit(1)


def cache_facts(places: Sequence[PlaceUsage]) -> Iterator[tuple[str, str]]:
    """Yield a name and a line for each place."""
    for place in places:
        name = "cache" if place.place == "disk" else place.place
        if place.bytes is None:
            yield name, f"{place.where} {place.trouble or 'does not answer'}; reads go on without it"
            continue
        limit = f" of at most {size(place.limit)}" if place.limit else ""
        held = f"{place.where}: {size(place.bytes)}{limit}"
        if place.place == "disk":
            yield name, f"{held} in {counted(place.entries or 0, 'file')}"
        else:
            keys = "" if place.entries is None else f", {counted(place.entries, 'key')}"
            yield name, f"{held}{keys} in the whole server"


def _report(ctx: typer.Context, *, as_json: bool) -> Sequence[PlaceUsage]:
    places = read_usage(Session.of(ctx).settings)
    if as_json:
        say_json([asdict(place) for place in places])
        return places
    for line in columns_of(cache_facts(places)) if places else ["turned off: see CHANDLERY_CACHE_DISK"]:
        say(line)
    return places

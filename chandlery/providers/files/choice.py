"""Which files are read where several are files of one instrument: those under the name that a person asked for.

After a rename or a merge, ``FB.csv`` and ``META.csv`` lie side by side; ``BRK.B.csv`` and ``BRK-B.csv`` spell one
symbol. Not here: which files a folder holds (``folder``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from chandlery.core.symbols import spelling
from chandlery.providers.files.folder import Holding
from chandlery.providers.files.naming import split_name


def choose(symbol: str, asked: str | None, spellings: Iterable[str], holdings: Mapping[str, Holding]) -> Holding | None:
    """Return the files of ``symbol``, maybe with the problem that it cannot be told which; None where there are none.

    Args:
        symbol: canonical.
        asked: the name that a person asked for, where one did.
        spellings: how all of its names are compared.
        holdings: what the folder holds.
    """
    found = {key: holdings[key] for key in spellings if key in holdings}
    named = found.get(spelling(asked or symbol))
    if named is not None:
        exact = [file for file in named.files if split_name(file.name)[0] == (asked or "").replace("/", "-")]
        return replace(named, files=exact, problem="") if named.doubled and len(exact) == 1 else named
    if len(found) < 2:
        return next(iter(found.values()), None)
    files = [file for holding in found.values() for file in holding.files]
    names = " and ".join(file.name for file in files)
    advice = ", or ".join(f"`chandlery ingest {holding.symbol} --path ...`" for holding in found.values())
    problem = (
        f"{files[0].parent} holds {names}, and each bears another name of {symbol}; keep one, or name it: {advice}"
    )
    return Holding(symbol, files, problem)


def passed_over(chosen: Holding, spellings: Iterable[str], holdings: Mapping[str, Holding]) -> list[str]:
    """Return a note of each file that bears a name of the instrument and is not among the chosen ones."""
    own = spelling(chosen.symbol)
    return [
        f"{file.name} {'spells it too' if key == own else 'bears another of its names'}, and is not read"
        for key in spellings
        if key in holdings
        for file in holdings[key].files
        if file not in chosen.files
    ]

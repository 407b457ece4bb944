"""Turns what a report says into one HTML page, with the templates beside this module.

Not here: what the report says (``report``), and the data of its charts (``charts``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_TEMPLATES = Path(__file__).parent / "templates"


def render_page(*, plotly: str, chart_data: Sequence[Mapping[str, Any]], **values: object) -> str:
    """Return the page as HTML.

    Args:
        plotly: the source of Plotly, which is written into the page, so that it opens without a network.
        chart_data: what the page's script draws.
        values: what ``report.html.j2`` shows. Texts are escaped.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "day": _day}
    # A closing tag inside the data would end the script.
    data = json.dumps(chart_data, separators=(",", ":")).replace("</", "<\\/")
    template = environment.get_template("report.html.j2")
    return template.render(plotly=plotly, chart_data=data, **values)


def _number(value: int) -> str:
    """Return a whole number with its thousands separated."""
    return f"{value:,}"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"

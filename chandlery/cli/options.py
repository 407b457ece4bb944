"""Options that many commands have. Not here: what only one command takes."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs.")]

#: The port of the web interface, unless somebody says otherwise.
PORT = 3000

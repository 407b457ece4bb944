"""The reference pages say what is there: every command and option, every variable of the environment."""

from __future__ import annotations

import re
from pathlib import Path

from tests.golden.cli import DOCUMENT, document

ROOT = Path(__file__).parents[3]
PRODUCT = ("chandlery", "pipelines", "resources", "assets", "expectations", "deploy", "config")
VARIABLE = re.compile(r"(?<![A-Z_])(?:CHANDLERY|AWS|ALPACA|POLYGON)_[A-Z][A-Z_0-9]*[A-Z0-9](?![A-Z_])")
#: An example of what is hidden, which nothing reads.
NOT_READ = {"ALPACA_SECRET_KEY"}


def variables(*folders: str) -> set[str]:
    """Return the names of variables that occur in the files of ``folders``."""
    files = (file for folder in folders for file in (ROOT / folder).rglob("*") if "__pycache__" not in file.parts)
    texts = (file.read_text(encoding="utf-8", errors="ignore") for file in files if file.is_file())
    # With _FILE after its name, a variable names the file of what it would hold.
    return {name.removesuffix("_FILE") for text in texts for name in VARIABLE.findall(text)}


def test_the_page_of_the_command_line_is_what_the_commands_say() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(), "run `python -m tests.golden.update`"


def test_every_variable_is_on_its_page_and_no_other() -> None:
    text = (ROOT / "docs" / "environment.md").read_text(encoding="utf-8")
    page = {name.removesuffix("_FILE") for name in VARIABLE.findall(text)}
    assert variables(*PRODUCT) - NOT_READ - page == set()
    assert page - variables(*PRODUCT, "tests") == set()

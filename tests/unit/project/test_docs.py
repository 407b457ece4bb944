"""What the documentation shows must work: what can be seen without running it.

``tests/integration/test_documents.py`` runs commands and samples, ``test_custom_provider.py`` the provider template.
"""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from chandlery.cli.commands import COMMANDS, load
from chandlery.config.calendars import load_calendars
from chandlery.config.lifecycle import load_lifecycle
from chandlery.config.universe import load_universe
from chandlery.config.yaml_document import Document
from chandlery.providers.catalog import load_providers, provider_kinds
from chandlery.providers.files.layout import MappingFile
from tests.documents import LANGUAGES, PAGES, ROOT, Block, anchors, blocks, chandlery_arguments, name, prose

BLOCKS = [block for page in PAGES for block in blocks(page)]
GLOSSARY = ROOT / "docs" / "glossary.md"
#: Pages that tell how something is done: what can go wrong is said there.
HOW_TO = [
    "README.md",
    *(f"docs/{page}.md" for page in ("backup", "charts", "embedded", "files", "findings", "lineage", "providers")),
    *(f"docs/{page}.md" for page in ("servers", "tiers", "web-ui", "provider-template/README")),
]
#: Pages without words of the house: generated, the glossary itself, or for whoever changes the code.
NO_WORDS = {"docs/cli.md", "docs/glossary.md", "CONTRIBUTING.md", "docs/provider-template/README.md"}


#: Words of the glossary that also mean what they mean everywhere.
EVERYDAY = {
    "as of",
    "base",
    "batch",
    "cold",
    "final",
    "forming",
    "home",
    "hot",
    "known at",
    "partition",
    "provisional",
    "release",
    "repair",
    "replay",
    "retention",
    "session state",
    "settled",
    "source",
    "store",
    "universe",
    "window",
}


def written_in(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_each_block_says_its_language(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= LANGUAGES
    assert page.read_text(encoding="utf-8").count("```") == 2 * len(blocks(page))


@pytest.mark.parametrize("block", written_in("sh", "console"), ids=str)
def test_commands_have_the_arguments_that_are_shown(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    monkeypatch.setenv("CHANDLERY_MOVE_TO", "postgresql://host/bars")  # one example sets it
    for command, _ in block.steps():
        for arguments in chandlery_arguments(command):
            if arguments and arguments[0] not in {"--version", "--install-completion", "--show-completion", "--help"}:
                parse(arguments)
        if command.startswith("make "):
            words = re.sub(r'\w+=("[^"]*"|\S+)', "", command.partition("#")[0]).split()[1:]
            assert set(words) <= set(targets)


def parse(arguments: list[str]) -> None:
    """Let the command line read ``arguments``; nothing runs."""
    assert arguments[0] in COMMANDS, arguments
    command: Any = load(arguments[0])
    context = typer.Context(command, info_name="chandlery")
    called, rest = arguments[0], arguments[1:]
    if hasattr(command, "commands") and (rest or not command.invoke_without_command):
        assert rest[0] in command.commands, arguments
        command, called, rest = command.commands[rest[0]], rest[0], rest[1:]
    command.make_context(called, list(rest), parent=context)


@pytest.mark.parametrize("block", written_in("yaml"), ids=str)
def test_yaml_is_what_its_file_may_hold(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "config" / Path(block.first).name
    file.parent.mkdir()
    file.write_text(block.text, encoding="utf-8")
    loaders: dict[str, Callable[[Path], object]] = {
        "config/calendars.yaml": load_calendars,
        "config/lifecycle.yaml": load_lifecycle,
        "config/providers.yaml": _load_providers,
        "config/universe.yaml": load_universe,
        "deploy/compose.override.yaml": lambda path: yaml.safe_load(path.read_text())["services"],
        "mine.yaml": lambda path: Document.read(path).validate(MappingFile),
    }
    assert block.first in loaders, "its first line names its file"
    loaders[block.first](file)


def _load_providers(path: Path) -> None:
    """Read the file; a kind that the template adds is taken for one that is installed."""
    if "kind: acme" in path.read_text():
        path.write_text(path.read_text().replace("kind: acme", "kind: polygon"))
        assert "acme" not in provider_kinds()
    load_providers(path)


@pytest.mark.parametrize("block", written_in("python"), ids=str)
def test_python_stands_alone(block: Block) -> None:
    command = [sys.executable, "-m", "ruff", "check", "--quiet", "--isolated", "--select", "F,E9", "-"]
    done = subprocess.run(command, input=block.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http:", "https:")):
            continue
        there = page.parent / target if target else page
        assert there.exists(), f"{name(page)} links to {target}"
        if anchor:
            assert anchor in anchors(there), f"{name(page)} links to {target}#{anchor}"


@pytest.mark.parametrize("page", [page for page in PAGES if name(page) not in NO_WORDS], ids=name)
def test_a_word_of_the_house_leads_to_the_glossary_where_it_comes_first(page: Path) -> None:
    text = prose(page)
    links = [found.span() for found in re.finditer(r"\[[^\]]*\]\([^)]*glossary\.md#[^)]*\)", text)]
    others = [found.span() for found in re.finditer(r"\]\([^)]*\)|\[[^\]]*\]\((?![^)]*glossary\.md#)[^)]*\)", text)]
    missing = []
    for word, pattern in house_words().items():
        found = [f for f in pattern.finditer(text) if not any(a <= f.start() < b for a, b in others)]
        if found and not any(a <= found[0].start() < b for a, b in links):
            missing.append(word)
    assert missing == []


@cache
def house_words() -> dict[str, re.Pattern[str]]:
    """Return the words that only this project uses so, and how each is found: in the plural too."""
    text = GLOSSARY.read_text(encoding="utf-8").partition("## Words of the market")[0]
    words = [word for word in re.findall(r"^### (.*)$", text, re.MULTILINE) if word not in EVERYDAY]
    assert len(words) > 12
    return {word: re.compile(rf"\b{re.escape(word)}s?\b", re.IGNORECASE) for word in words}


@pytest.mark.parametrize("page", HOW_TO)
def test_a_page_that_tells_how_says_what_can_go_wrong(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert re.search(r"^## When it goes wrong$", text, re.MULTILINE)
    section = text.partition("## When it goes wrong\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`(?:, `.*?`)*) \|", section, re.MULTILINE)
    assert len(rows) >= 2
    for message in [message for row in rows for message in re.findall(r"`([^`]+)`", row)]:
        for piece in message.split("..."):
            known = any(piece.strip(" '") in text for text in texts())
            assert known, f"{page} quotes what the product does not say: {piece}"


@cache
def texts() -> list[str]:
    """Return every text in the product's code; what is filled in is left out of it."""
    found: list[str] = []
    folders = ("chandlery", "pipelines", "resources", "expectations", "assets")
    for file in (file for folder in folders for file in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "\0" for part in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found

"""Reads what the documentation shows: its blocks, by language, and its prose.

A block whose first line is a comment that begins with ``needs`` (``# needs a key``) cannot run in a test; the reader
sees the same word. A block of YAML begins with a comment that names its file (``# config/providers.yaml``). A block of
text right after Python or SQL is what that prints, where the three dots stand for anything.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Every page of the documentation; the generated reference is one.
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
LANGUAGES = {"console", "python", "sh", "sql", "text", "toml", "yaml"}
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: the file.
        line: of the page, where the block's text begins.
        language: as written after the fence.
        text: without the fences.
        follows: whether nothing but blank lines stands between it and the block before.
    """

    page: Path
    line: int
    language: str
    text: str
    follows: bool

    def __str__(self) -> str:
        """Return ``docs/files.md:14``."""
        return f"{name(self.page)}:{self.line}"

    @property
    def first(self) -> str:
        """The text of a comment in the first line; empty where there is none."""
        found = re.match(r"(?:#|--) ?(.*)", self.text)
        return found[1].strip() if found else ""

    @property
    def is_run(self) -> bool:
        """Whether a test can run it."""
        return not self.first.startswith("needs") and not re.search(r"^\$? ?docker ", self.text, re.MULTILINE)

    def steps(self) -> Iterator[tuple[str, str]]:
        """Yield each command of a block of shell, and what it is shown to print."""
        if self.language == "sh":
            yield from ((command, "...") for command in _commands(self.text))
            return
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            while command.endswith("\\") or output.startswith("> "):
                line, _, output = output.removeprefix("> ").partition("\n")
                command += f"\n{line}"
            yield command, output


def _commands(text: str) -> Iterator[str]:
    """Yield the commands of a script; one that goes on in the next line, or feeds a file, is one."""
    lines = iter(text.splitlines())
    for line in lines:
        command = line
        while command.endswith("\\"):
            command += f"\n{next(lines)}"
        ended = re.search(r"<<'?(\w+)'?", command)
        while ended and not command.endswith(f"\n{ended[1]}"):
            command += f"\n{next(lines)}"
        if command.strip() and not command.lstrip().startswith("#"):
            yield command


def name(page: Path) -> str:
    """Return how a page is called: its path in the checkout."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text, found, end = page.read_text(encoding="utf-8"), [], 0
    for match in _FENCE.finditer(text):
        indent, body = len(match["indent"]), match["text"]
        body = "".join(line[indent:] or "\n" for line in body.splitlines(keepends=True))
        follows = end > 0 and not text[end : match.start()].strip()
        found.append(Block(page, text.count("\n", 0, match.start("text")) + 1, match["language"], body, follows))
        end = match.end()
    return found


def prose(page: Path) -> str:
    """Return the page without blocks, comments and headings; pieces of code are blanks of the same length."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    text = re.sub(r"^#.*$|<!--.*?-->", "", text, flags=re.MULTILINE)
    return re.sub(r"`[^`\n]*`", lambda found: " " * len(found[0]), text)


def anchors(page: Path) -> set[str]:
    """Return the names that a link may point at within a page: its headings, as GitHub spells them."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in plain}


def chandlery_arguments(command: str) -> list[list[str]]:
    """Return the arguments of each call of ``chandlery`` in a line of shell."""
    lexer = shlex.shlex(command.partition("<<")[0], posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    calls: list[list[str]] = []
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word and set(word) <= set(";&|()<>"):
            if "chandlery" in words:
                calls.append(words[words.index("chandlery") + 1 :])
            words = []
        else:
            words.append(word)
    return calls

"""Configuration files that are none: an error that names file and line, never a hang or a traceback."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chandlery.config.universe import load_universe
from chandlery.config.yaml_document import Document
from chandlery.errors import ConfigurationError
from chandlery.providers.catalog import load_providers

#: Each alias stands for nine of the one before.
BOMB = "a0: &a0 x\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: 1\nb: \x00\n", "file.yaml:2: not valid YAML: the control character U+0000"),
        ("a: 1\n\n\x1b[31m: 2\n", "file.yaml:3: not valid YAML: the control character U+001B"),
        (b"a: 1\nb: \xff\xfe\n", "file.yaml:2: is not UTF-8 text"),
        (bytes(range(256)) * 40, "file.yaml"),
        (b"\x7fELF\x02\x01\x01", "file.yaml:1: not valid YAML: the control character U+007F"),
        ("a:\n  - " + "[" * 100_000, "file.yaml:2: not valid YAML: nested more than 64 deep"),
        ("a:\n  " + "{a: " * 5_000 + "1" + "}" * 5_000, "file.yaml:2: not valid YAML: nested more than 64 deep"),
        ("".join(f"{' ' * n}a:\n" for n in range(2_000)), "file.yaml:64: not valid YAML: nested more than 64 deep"),
        ("- " * 2_000 + "1", "file.yaml:1: not valid YAML: nested more than 64 deep"),
        ("a: 1\nb: &b [*b]\n", "file.yaml:2: not valid YAML: *b refers to what it is a part of"),
        ("b: &b\n  c:\n    - *b\n", "file.yaml:3: not valid YAML: *b refers to what it is a part of"),
        (BOMB, "file.yaml:8: not valid YAML: aliases make more than 2,000,000 values"),
        ("a: *nobody\n", "file.yaml:1: not valid YAML"),
        ("a: 1\n? [b, c]\n: 2\n", "file.yaml:2: not valid YAML"),
        ("a: 1\nb: " + "9" * 5_000, "file.yaml:2: not valid YAML"),
        ("a: 1\nb: !!timestamp noon\n", "file.yaml:2: not valid YAML"),
        ("a: 1\nb: !!int noon\n", "file.yaml:2: not valid YAML"),
        ("a: 1\nb: !!python/object:os.system {}\n", "file.yaml:2: not valid YAML"),
        ("a: 1\n---\nb: 2\n", "file.yaml:2: not valid YAML"),
    ],
)
def test_what_is_no_yaml_is_an_error_that_names_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | bytes, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError) as caught:
        Document.read(Path("file.yaml"))
    assert str(caught.value).startswith(said)
    assert len(str(caught.value)) < 500


def test_a_path_that_is_no_file_is_an_error_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "text").write_text("")
    for place, said in (
        (tmp_path / "pipe.yaml", "is not a file"),
        (Path("/dev/zero"), "is not a file"),
        (tmp_path / "folder.yaml", "cannot be read: Is a directory"),
        (tmp_path / "loop.yaml", "cannot be read: Too many levels"),
        (tmp_path / "text" / "universe.yaml", "cannot be read: Not a directory"),
    ):
        for load in (load_universe, load_providers):
            with pytest.raises(ConfigurationError, match=said) as caught:
                load(place)
            assert place.name in str(caught.value)


def test_aliases_that_stand_for_little_are_fine(tmp_path: Path) -> None:
    place = tmp_path / "file.yaml"
    place.write_text("a: &a [1, 2]\nb: [*a, *a]\nc: *a\n")
    assert Document.read(place).data == {"a": [1, 2], "b": [[1, 2], [1, 2]], "c": [1, 2]}


def complaint(universe: Path) -> str:
    """Return what is wrong with a file."""
    try:
        load_universe(universe)
    except ConfigurationError as error:
        return str(error)
    return ""


ODD = [
    "[]",
    "{}",
    "[1]",
    "1",
    "true",
    "1.5",
    "1e400",
    ".inf",
    "2024-01-01",
    "!!set {a}",
    "[[a]]",
    "{a: {b: 1}}",
    "''",
    "~",
]


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize(
    "place", ["symbol", "asset_class", "calendar", "provider", "name", "timeframes", "listed", "aliases"]
)
def test_whatever_stands_in_the_place_of_a_setting_is_taken_or_named(tmp_path: Path, place: str, value: str) -> None:
    others = {"symbol": "AAPL", "provider": "p"} | {place: value}
    file = tmp_path / "universe.yaml"
    file.write_text("instruments:\n  -\n" + "".join(f"    {name}: {given}\n" for name, given in others.items()))
    assert complaint(file).startswith(f"{file}:") or complaint(file) == ""


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize(
    "place",
    [
        "history: {1d: %s}",
        "gate: {max_rejected_share: %s}",
        "presets: {a: %s}",
        "presets: {a: {file: %s}}",
        "presets: %s",
    ],
)
def test_whatever_stands_elsewhere_in_it_is_taken_or_named(tmp_path: Path, place: str, value: str) -> None:
    file = tmp_path / "universe.yaml"
    file.write_text(f"instruments: []\n{place % value}\n")
    assert complaint(file).startswith(str(tmp_path)) or complaint(file) == ""


@pytest.mark.parametrize("value", ["true", ".inf", "1e400", "0", "-1", ".nan", "[]", "soon"])
@pytest.mark.parametrize("name", ["calls_per_minute", "timeout"])
def test_a_limit_of_calls_is_a_number(tmp_path: Path, name: str, value: str) -> None:
    file = tmp_path / "providers.yaml"
    file.write_text(f"providers:\n  coins:\n    kind: coinbase\n    limits: {{{name}: {value}}}\n")
    with pytest.raises(ConfigurationError, match=rf"providers.yaml:4: providers.coins.limits.{name}: "):
        load_providers(file)


def test_a_terminal_obeys_nothing_that_stands_in_a_file(tmp_path: Path) -> None:
    place = tmp_path / "universe.yaml"
    place.write_text('instruments: []\n"\\e]0;gone\\a": 1\n')
    with pytest.raises(ConfigurationError) as caught:
        load_universe(place)
    assert "\\x1b]0;gone\\x07" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    place.write_text('instruments: []\npresets: {a: {file: "\\e[31m"}}\n')
    with pytest.raises(ConfigurationError) as caught:
        load_universe(place)
    assert "\\x1b[31m: cannot be read" in str(caught.value)

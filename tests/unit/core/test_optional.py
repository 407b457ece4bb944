"""A package that is not installed is named together with the extra that brings it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chandlery.core.optional import import_optional
from chandlery.errors import ConfigurationError


def test_what_is_installed_is_imported() -> None:
    assert import_optional("json", extra="all", needed_by="a test") is json


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.part"])
def test_what_is_not_installed_is_named_with_its_extra(module: str) -> None:
    expected = r"^provider 'mine' needs no_such_package; install it with pip install 'chandlery\[yahoo\]'$"
    with pytest.raises(ConfigurationError, match=expected):
        import_optional(module, extra="yahoo", needed_by="provider 'mine'")


def test_it_is_named_as_it_is_installed() -> None:
    with pytest.raises(ConfigurationError, match="provider 'mine' needs no-such-package; install it"):
        import_optional("no_such_package", extra="ib", needed_by="provider 'mine'", package="no-such-package")


def test_what_an_installed_package_lacks_itself_is_not_blamed_on_an_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "installed_but_broken.py").write_text("import its_missing_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="its_missing_dependency"):
        import_optional("installed_but_broken", extra="yahoo", needed_by="provider 'mine'")

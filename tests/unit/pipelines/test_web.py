"""The process that serves the web UI keeps the token to itself."""

from __future__ import annotations

import os

import pytest

from chandlery.app.ui_token import TOKEN_VARIABLE
from pipelines import web


def test_no_process_that_it_starts_inherits_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "chosen-by-the-owner")
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with pytest.raises(Exception, match="DAGSTER_HOME"):  # the first thing that it needs after the token
        web.main(["--workspace", "workspace.yaml"])
    assert TOKEN_VARIABLE not in os.environ

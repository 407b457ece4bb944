"""What the options of files become: what was given is passed on, however empty, and the provider refuses it by name."""

from __future__ import annotations

import pytest

from chandlery.cli.file_options import file_options
from chandlery.errors import UsageError
from chandlery.providers.files.provider import FilesProvider


def given(**options: object) -> dict[str, object]:
    return file_options(**{"path": None, "mapping": None, "columns": None, "delimiter": None, **options})  # type: ignore[arg-type]


def test_what_was_not_given_is_left_out() -> None:
    assert given(tz=None, ignore_columns=[]) == {}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("price_scale", 0.0), ("tz", ""), ("date_format", ""), ("decimal", ""), ("label", ""), ("epoch_unit", ""),
        ("encoding", ""), ("delimiter", ""), ("pattern", ""), ("columns", ""), ("mapping", ""),
    ],
)  # fmt: skip
def test_a_value_that_is_zero_or_empty_is_refused_by_its_name(tmp_path, option: str, value: object) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=option):
        FilesProvider(tmp_path, **given(**{option: value}))

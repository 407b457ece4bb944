"""A password with an @ that is not escaped is printed neither whole nor in part."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from chandlery.database.dsn import market_dsn
from chandlery.errors import ConfigurationError
from chandlery.settings import Settings


@pytest.mark.parametrize("password", ["hunter2@tail", "@tail", "a@b@tail", "x/y@tail"])
def test_an_unescaped_at_is_an_error_that_repeats_nothing_of_the_password(password: str) -> None:
    url = SecretStr(f"postgresql://me:{password}@nowhere.invalid/bars")
    with pytest.raises(ConfigurationError, match="%40") as caught:
        market_dsn(Settings(database_url=url))
    assert "tail" not in str(caught.value)

"""The query parameters of each address. What they mean is said by ``DataAPI``; it also checks their values."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from chandlery.reading.arguments import COLUMNS


class Paged(BaseModel):
    """What every address takes."""

    model_config = ConfigDict(extra="forbid")

    rows: int | None = Field(None, ge=1, description="At most so many rows; the service has a limit of its own.")
    cursor: str | None = Field(None, description="Goes on where the answer before ended, with all else as it was.")

    def others(self) -> dict[str, Any]:
        """Return what tells one request from another."""
        return self.model_dump(exclude={"rows", "cursor"})


class Some(Paged):
    """Of some instruments, or of all."""

    symbol: list[str] = Field([], description="May be repeated; all by default.")


class Coverage(Some):
    """See ``DataAPI.coverage``."""

    timeframe: str | None = Field(None, description="A stored one; all by default.")


class Latest(Paged):
    """See ``DataAPI.latest``."""

    symbol: list[str] = Field(min_length=1, description="May be repeated.")
    timeframe: str = Field("1d", description="Of any width: 1m 90m 2h 1d 1w 1mo.")
    as_of: str | None = Field(None, description="As it was known at this time, ISO 8601.")
    columns: str = Field(",".join(COLUMNS), description="With commas between.")

    @property
    def names(self) -> list[str]:
        """The columns."""
        return [name.strip() for name in self.columns.split(",")]


class Ohlc(Latest):
    """See ``DataAPI.get_ohlc``."""

    start: str | None = Field(None, description="Inclusive, ISO 8601; a date means midnight UTC.")
    end: str | None = Field(None, description="Exclusive, likewise.")
    limit: int | None = Field(None, description="Only the last so many bars of each symbol.")
    final_only: bool = Field(False, description="Leave out bars that may still change.")
    exclude_suspect: bool = Field(False, description="Leave out confirmed false prints.")
    session: str = Field("all", description="all, regular or extended.")
    anchor: str = Field("utc", description="utc or session.")
    fill: str = Field("none", description="none or previous.")
    adjust: str = Field("raw", description="raw.")

    @property
    def is_plain(self) -> bool:
        """Whether the answer depends on bars alone, so that their version tells whether it changed."""
        others = self.final_only or self.exclude_suspect or self.fill != "none"
        return not (others or {"state", "released"} & set(self.names))

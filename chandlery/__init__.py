"""Chandlery keeps market candles: audited, versioned bars, and one way to read them."""

from chandlery.api import DataAPI
from chandlery.errors import ChandleryError

__all__ = ["ChandleryError", "DataAPI"]

"""Forming, provisional, final: told of every timeframe, the same for ever as of a time, and wherever the bars are."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg
import pytest
from psycopg import conninfo

from chandlery.api import DataAPI, Output
from chandlery.calendars import get_calendar
from chandlery.cli.query import _explain_nothing  # noqa: F401
from chandlery.derive import catch_up
from chandlery.instruments import list_instruments
from chandlery.lake.archive import archive, find_due
from chandlery.lake.files import Lake
from chandlery.lake.retention import retain
from chandlery.store.asked import Ask, record_asked
from chandlery.store.connect import Database
from chandlery.timeframe import Timeframe
from tests.support import EVER, Bar, put, register, utc

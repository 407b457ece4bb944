"""Finds out which edition a server is."""

from __future__ import annotations

import psycopg

from chandlery.store.editions.base import Edition
from chandlery.store.editions.postgres import PostgresEdition


def detect(connection: psycopg.Connection) -> Edition:
    """Return the edition of the server behind ``connection``."""
    del connection  # one edition so far: every PostgreSQL is plain PostgreSQL
    return PostgresEdition()

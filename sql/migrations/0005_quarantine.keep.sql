-- Run before 0005_quarantine.down.sql: sets aside which sessions wait, and which were replaced.

CREATE TABLE ops.kept_quarantine AS SELECT quarantine_id, sessions, replaced FROM ops.quarantine;

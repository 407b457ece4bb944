-- Run before 0002_tiers.down.sql: sets aside which files there are in the lake, and which windows a person wants to keep.

CREATE TABLE ops.kept_manifest AS TABLE ops.manifest;
CREATE TABLE ops.kept_window AS TABLE ops.bar_window;

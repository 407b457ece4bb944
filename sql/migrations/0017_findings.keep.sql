-- Run before 0017_findings.down.sql: sets aside what was noticed, with what people said of it, and which bars they released.

CREATE TABLE ops.kept_finding AS SELECT * FROM ops.finding;
CREATE TABLE ops.kept_released_bar AS SELECT * FROM ops.released_bar;

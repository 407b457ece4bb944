-- Run before 0004_providers.down.sql: sets aside what persons entered and what is known of requests.

CREATE TABLE ops.kept_halt AS TABLE market.halt;
CREATE TABLE ops.kept_asked AS TABLE ops.asked;
CREATE TABLE ops.kept_finalized AS TABLE ops.finalized;
CREATE TABLE ops.kept_gap AS TABLE ops.gap;
CREATE TABLE ops.kept_landing AS TABLE ops.landing;

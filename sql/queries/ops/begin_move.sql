-- Where a move into this database notes which database it comes from and which parts are here; dropped when it is complete.
CREATE TABLE ops.move (
    source   text        NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE ops.move IS 'a move of another database into this one is not complete: what is here is a part of it';
CREATE TABLE ops.move_part (
    table_name text    NOT NULL,
    window_key text    NOT NULL,
    row_count  bigint  NOT NULL,
    row_hash   numeric NOT NULL,
    PRIMARY KEY (table_name, window_key)
);
COMMENT ON COLUMN ops.move_part.window_key IS 'month or year of ts; empty for a table that is copied whole';
COMMENT ON COLUMN ops.move_part.row_count IS 'what was copied, as the source counted it; -1: it was found damaged later';

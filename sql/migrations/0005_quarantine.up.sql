-- Which sessions wait in quarantine, so that coverage can say so of them. Safe to run again.

ALTER TABLE ops.quarantine ADD COLUMN IF NOT EXISTS sessions datemultirange;
ALTER TABLE ops.quarantine ADD COLUMN IF NOT EXISTS replaced datemultirange NOT NULL DEFAULT '{}';

-- Of what was rejected before, the window is known.
UPDATE ops.quarantine
SET sessions = CASE WHEN timeframe = '1d' THEN datemultirange(daterange(make_date(window_key::int, 1, 1), make_date(window_key::int + 1, 1, 1)))
                    ELSE datemultirange(daterange((window_key || '-01')::date, ((window_key || '-01')::date + interval '1 month')::date)) END
WHERE sessions IS NULL;
ALTER TABLE ops.quarantine ALTER COLUMN sessions SET NOT NULL;

COMMENT ON COLUMN ops.quarantine.sessions IS 'of the rejected rows, less those of extended hours';
COMMENT ON COLUMN ops.quarantine.replaced IS 'sessions of which the same provider sent something else since; of the others its rows are the last word';

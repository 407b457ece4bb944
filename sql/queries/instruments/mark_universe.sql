-- Marks the instruments that universe.yaml lists, and those that it no longer does. Returns what changed. One that it never listed stays so.
--
-- symbols: text[], all that it lists
UPDATE market.instrument AS i
SET in_universe = i.symbol = ANY(:'symbols'::text[])
WHERE CASE WHEN i.symbol = ANY(:'symbols'::text[]) THEN i.in_universe IS NOT TRUE ELSE i.in_universe END
RETURNING i.symbol, i.in_universe

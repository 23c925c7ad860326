-- The opened store that holds a lease, as `origin` in `pg_notify` names it. Processes on different machines, or in a
-- restarted container, may have equal names.
ALTER TABLE lease ADD COLUMN origin text;

-- Which opened store took a lease, as `origin` of `pg_notify` names it: processes on different machines, or one that was
-- started again in its container, may call themselves alike.
ALTER TABLE lease ADD COLUMN origin text;

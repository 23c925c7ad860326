-- 1 for low-priority requests, which run last: drift scans.
ALTER TABLE request ADD COLUMN can_wait INTEGER NOT NULL DEFAULT 0;

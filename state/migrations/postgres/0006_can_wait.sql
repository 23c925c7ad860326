-- True for low-priority requests, which run last: drift scans.
ALTER TABLE request ADD COLUMN can_wait boolean NOT NULL DEFAULT false;

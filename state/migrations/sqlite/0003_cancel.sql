-- Set by a cancellation. The heartbeat of the operation reads it, in any process.

ALTER TABLE operation ADD COLUMN cancel_requested INTEGER NOT NULL DEFAULT 0;

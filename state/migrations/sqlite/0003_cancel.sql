-- Somebody asked the operation to stop: its heartbeat reads this, wherever it runs.

ALTER TABLE operation ADD COLUMN cancel_requested INTEGER NOT NULL DEFAULT 0;

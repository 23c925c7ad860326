-- Facts for the usage log and for limits.

-- The principal that cancelled a run.
ALTER TABLE run ADD COLUMN cancelled_by TEXT;

-- The operation of the server that creates the database or changes its lifetime; nothing for an extension. An operation
-- that a crash interrupted counts once.
ALTER TABLE extension ADD COLUMN operation TEXT;
CREATE UNIQUE INDEX extension_operation ON extension (operation, database) WHERE operation IS NOT NULL;

-- Expired databases, by their ids, whose end the usage log has.
CREATE TABLE logged_expiry (
    database TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

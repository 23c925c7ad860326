-- The keys by which callers know their requests again, whatever became of them. Several that ask the same have one request,
-- each with a key of its own.
CREATE TABLE request_key (
    key       TEXT PRIMARY KEY,
    operation INTEGER NOT NULL REFERENCES request (operation)
) STRICT, WITHOUT ROWID;
CREATE INDEX request_key_of ON request_key (operation);
INSERT INTO request_key (key, operation) SELECT idempotency, operation FROM request WHERE idempotency IS NOT NULL;
DROP INDEX request_idempotency;
ALTER TABLE request DROP COLUMN idempotency;

-- The idempotency keys of requests. Equal calls with different keys have one request. Older keys have another form, so
-- that no call would match them: they are dropped.
CREATE TABLE request_key (
    key       TEXT PRIMARY KEY,
    operation INTEGER NOT NULL REFERENCES request (operation)
) STRICT, WITHOUT ROWID;
CREATE INDEX request_key_of ON request_key (operation);
DROP INDEX request_idempotency;
ALTER TABLE request DROP COLUMN idempotency;

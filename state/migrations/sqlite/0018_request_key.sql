-- The keys by which callers know their requests again, whatever became of them. Several that ask the same have one request,
-- each with a key of its own. Those of before say what they are about, too, and are forgotten: nobody would find them.
CREATE TABLE request_key (
    key       TEXT PRIMARY KEY,
    operation INTEGER NOT NULL REFERENCES request (operation)
) STRICT, WITHOUT ROWID;
CREATE INDEX request_key_of ON request_key (operation);
DROP INDEX request_idempotency;
ALTER TABLE request DROP COLUMN idempotency;

-- The keys by which callers know their requests again, whatever became of them. Several that ask the same have one request,
-- each with a key of its own. Those of before say what they are about, too, and are forgotten: nobody would find them.
CREATE TABLE request_key (
    key       text PRIMARY KEY,
    operation bigint NOT NULL REFERENCES request (operation)
);
CREATE INDEX request_key_of ON request_key (operation);
ALTER TABLE request DROP COLUMN idempotency;

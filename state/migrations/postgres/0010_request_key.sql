-- The idempotency keys of requests. Equal calls with different keys have one request. Older keys have another form, so
-- that no call would match them: they are dropped.
CREATE TABLE request_key (
    key       text PRIMARY KEY,
    operation bigint NOT NULL REFERENCES request (operation)
);
CREATE INDEX request_key_of ON request_key (operation);
ALTER TABLE request DROP COLUMN idempotency;

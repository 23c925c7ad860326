-- The idempotency key of the caller.
ALTER TABLE request ADD COLUMN idempotency TEXT;
CREATE UNIQUE INDEX request_idempotency ON request (idempotency) WHERE idempotency IS NOT NULL;

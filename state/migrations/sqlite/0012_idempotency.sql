-- The key by which a caller knows its request again, whatever became of it.
ALTER TABLE request ADD COLUMN idempotency TEXT;
CREATE UNIQUE INDEX request_idempotency ON request (idempotency) WHERE idempotency IS NOT NULL;

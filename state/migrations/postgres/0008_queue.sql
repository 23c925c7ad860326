-- The requests that nobody took yet, as they are taken; and those that somebody took, by the end of their claims.
DROP INDEX request_unended;
CREATE INDEX request_waiting ON request (can_wait, operation) WHERE result IS NULL AND expires IS NULL;
CREATE INDEX request_taken ON request (expires) WHERE result IS NULL AND expires IS NOT NULL;
-- The leases that are held, among all that ever were.
CREATE INDEX lease_held ON lease (operation) WHERE id IS NOT NULL;

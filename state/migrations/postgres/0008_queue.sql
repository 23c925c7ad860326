-- The waiting requests in the order of claims, and the claimed ones by the expiry of their claims.
DROP INDEX request_unended;
CREATE INDEX request_waiting ON request (can_wait, operation) WHERE result IS NULL AND expires IS NULL;
CREATE INDEX request_taken ON request (expires) WHERE result IS NULL AND expires IS NOT NULL;
-- The held leases among all rows.
CREATE INDEX lease_held ON lease (operation) WHERE id IS NOT NULL;

-- The declaration of a shared row by an owner, as JSON of the engine; empty if unknown. The owners of a row must agree.
-- The planner compares an owner with the stored declarations of the others.

ALTER TABLE owner ADD COLUMN declaration TEXT NOT NULL DEFAULT '';

-- How an owner declares a shared row, as JSON of the engine; empty where that was never said. Owners of one row have to
-- agree, and one that is planned alone can only ask what the others left here.

ALTER TABLE owner ADD COLUMN declaration TEXT NOT NULL DEFAULT '';
